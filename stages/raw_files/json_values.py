"""JSON values out of a byte stream, one at a time: one long array, or objects one after the other.

A value that cannot be read costs itself and not the file: reading goes on at the next element. Each reader yields
(byte offset, value), with a Damage in place of a value that is lost.
"""

import json
import re
from collections.abc import Iterator

from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_records import DECODER, Found, fault_of, in_another_encoding, no_document
from stages.raw_files.json_repairs import COMMENT, Mended, mended
from stages.raw_files.repair_names import COMMENTS_REMOVED
from stages.raw_files.text_window import BAD_BYTE, TextWindow, encoded_length

SEPARATORS = re.compile(rf"(?:[\s,]++|{COMMENT})*+")
FIRST_KEY = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"\s*:')
BRACKET_OR_STRING = re.compile(  # the last: a string that does not end
    rf'[\[{{\]}}]|"[^"\\]*(?:\\.[^"\\]*)*"|{COMMENT}|"'
)
SPACE = re.compile(rf"(?:\s++|{COMMENT})*+")
# An object around an array of records: {"version": 1, "schema": {…}, "data": [{…
NAMES = "data|rows|records|examples|items|samples|entries|dataset|train|validation|valid|dev|test"
# What such an object may say of all its records, as `ingest` reads it; then it is read whole, with it.
SAID_OF_ALL = (
    *("instruction", "prompt", "question", "query", "user_prompt", "user_input", "problem", "definition"),
    *("context", "contexts", "retrieved_contexts", "passage", "passages", "paragraph", "story"),
    *("document", "documents", "ctxs", "article"),
    *("system", "system_prompt", "system_message", "system_instruction", "systeminstruction", "meta_instruction"),
    *("systemprompt", "sys_prompt", "system_msg", "system_prompt_used"),
    *("task", "task_type", "category", "weight", "loss_weight", "sample_weight"),
    *("tools", "functions", "available_tools", "tool_definitions", "tools_json"),
)
SAID = re.compile("|".join(SAID_OF_ALL).replace("_", "[_ -]"), re.IGNORECASE)
OTHER_NAME = rf'\s*"(?!(?:{SAID.pattern})")[^"\\]*"\s*:\s*'
SCALAR, OBJECT = r'(?:"[^"\\]*"|[-+.\w]+)', r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
WRAPPER = re.compile(
    rf'\{{(?:{OTHER_NAME}(?:{SCALAR}|{OBJECT})\s*,){{0,20}}\s*"(?:{NAMES})"\s*:\s*\[(?=\s*\{{)', re.IGNORECASE
)
FIELD = re.compile(r'"[^"\\]*"\s*:\s*(?:(\[)(?=\s*\{)|(?=[^\s\[]|\[\s*[^\s{]))')
NEAR_END = 16  # an error this close to the end of what was read may be a value that only goes on
KEPT_BEFORE = 1 << 10  # characters kept before the position: the indent, or the start of the next element cut in two


def json_values(chunks: Iterator[bytes], max_record_bytes: int, *, in_array: bool) -> Iterator[Found]:
    """The elements of one array, or the values that stand one after the other over any number of lines.

    A value cut off by the end of the file is one `truncated` record. Raises Damage when an array stops between two
    elements, or something follows it.
    """
    values = Values(chunks, max_record_bytes, in_array=in_array)
    if in_array:
        values.enter_array()
    return values.read()


class Values:
    """Reads values one at a time, and can hand the rest of the stream back."""

    def __init__(self, chunks: Iterator[bytes], max_record_bytes: int, *, in_array: bool) -> None:
        self.window = TextWindow(chunks)
        self.position = 0
        self.max_record_bytes = max_record_bytes
        self.in_array = in_array
        self.is_wrapped = False  # the array is a field of an object
        self.last_key: str | None = None  # the first key of the last whole object
        self._is_commented = False  # what stands before the next value

    def enter_array(self) -> None:
        """Moves behind the opening bracket: of the file, or of the first list in the object that is the file."""
        self._skip_separators()
        if wrapper := WRAPPER.match(self.window.text, self.position):
            self.is_wrapped = True
            self.position = wrapper.end()
        else:
            self.position += 1

    def unread(self) -> tuple[int, bytes]:
        """What was taken from the stream and not read yet, and its offset in the stream."""
        return self.window.byte_offset(self.position), self.window.unread(self.position)

    def read(self) -> Iterator[Found]:
        """Each value from the position on, which then is behind it."""
        while self._skip_separators():
            if self.in_array and self.window.text[self.position] == "]":
                self.position += 1
                if not (self.is_wrapped and self._enters_next_array()):
                    self._refuse_what_follows()
                    return
                continue
            offset = self.window.byte_offset(self.position)
            value = self._next()
            yield offset, value
            if isinstance(value, Damage) and self.window.at_end and self.position == len(self.window.text):
                return  # what is broken reaches to the end, so nothing more can be said of the end
        if self.in_array:
            raise Damage("truncated", "the array ends without its closing bracket; what followed is lost")

    def _skip_separators(self) -> bool:
        """Moves to the next value; False at the end of the stream. A comment that may go on is read whole first."""
        while True:
            text, start = self.window.text, self.position
            match = SEPARATORS.match(text, start)
            end = match.end() if match else start
            has_comment = "/" in text[start:end]
            may_go_on = (end == len(text) and has_comment) or text.startswith("/*", end) or text[end:] == "/"
            if not may_go_on or self.window.at_end or len(text) - start > self.max_record_bytes:
                self.position, self._is_commented = end, self._is_commented or has_comment
                if end < len(text):
                    return True
                if self.window.at_end:
                    return False
            self._grow(self.position)

    def _grow(self, keep_from: int) -> None:
        keep_from = max(0, keep_from - KEPT_BEFORE)
        self.window.grow(keep_from)
        self.position = max(0, self.position - keep_from)

    def _next(self) -> object:
        """The value at the position, which moves behind it; Damage where there is no whole one."""
        value, is_commented = self._value(), self._is_commented
        self._is_commented = False
        if not is_commented or not isinstance(value, dict):
            return value
        known = (
            value if isinstance(value, Mended) else Mended(value, (), "a comment, which is no JSON, before the record")
        )
        return Mended(known, (COMMENTS_REMOVED, *known.repairs), known.fault, known.reason)

    def _value(self) -> object:
        while True:
            try:
                value, end = DECODER.raw_decode(self.window.text, self.position)
            except (Damage, RecursionError, ValueError) as error:
                if not self._may_go_on(error):
                    return self._lose(fault_of(error, self.position))
                if self.window.at_end:
                    return self._lose(Damage("truncated", f"the file ends inside the record: {error}"))
                if len(self.window.text) - self.position > self.max_record_bytes:
                    return self._lose(self._too_long())
            else:
                if end < len(self.window.text) or self.window.at_end or isinstance(value, (dict, list, str)):
                    return self._whole(value, end)
            self._grow(self.position)

    def _may_go_on(self, error: Exception) -> bool:
        """Whether the value may be sound as far as it was read."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        near_end = 0 if self.window.at_end else NEAR_END
        return error.msg.startswith("Unterminated string") or error.pos >= len(self.window.text.rstrip()) - near_end

    def _whole(self, value: object, end: int) -> object:
        start, self.position = self.position, end
        if end - start > self.max_record_bytes:
            return self._too_long()
        if self.window.has_bad_bytes and (bad := BAD_BYTE.search(self.window.text, start, end)):
            before = encoded_length(self.window.text[start : bad.start()])
            fault = Damage("invalid_utf8", f"byte 0x{ord(bad[0]) - 0xDC00:02x} at byte {before} of the record")
            return in_another_encoding(self.window.text[start:end].encode("utf-8", "surrogateescape"), fault)
        if isinstance(value, dict) and value:
            self.last_key = next(iter(value))
        return no_document(value)

    def _too_long(self) -> Damage:
        return Damage("record_too_long", f"more than {self.max_record_bytes:,} bytes")

    def _lose(self, damage: Damage) -> object:
        """Damage, or what stands there without its trailing commas.

        Moves to where the next element starts: behind the balanced end of this one, or at the next object that opens with
        the same key at the same indent.
        """
        next_start = self._start_pattern()
        from_its_start = True
        while True:
            text, start = self.window.text, self.position
            # What looks like a start inside an element that is nested too deep is as deep, and so on for each of its levels.
            is_inside = from_its_start and damage.reason == "nested_too_deep"
            found = None if is_inside else next_start.search(text, start + from_its_start)
            end = self._balanced_end(found.start() if found else len(text)) if from_its_start else None
            if end or found or self.window.at_end:
                self.position = end or (found.start() if found else len(text))
                is_whole = end is not None and damage.reason == "invalid_json"
                if is_whole and (value := mended(text[start:end], DECODER.decode, damage.detail)):
                    return value
                sound = damage.reason != "truncated" or self.position == len(text)
                return damage if sound else Damage("invalid_json", damage.detail)
            if len(text) - start > self.max_record_bytes or not from_its_start:
                from_its_start = False
                self.position = max(start, len(text) - KEPT_BEFORE)
            self._grow(self.position)

    def _start_pattern(self) -> re.Pattern[str]:
        """An object that opens with the key of the broken one, or else of the last whole one, at the same indent; any
        object where neither is known."""
        text, start = self.window.text, self.position
        match = FIRST_KEY.match(text, start)
        last = self.last_key and text[start] in "[{" and json.dumps(self.last_key, ensure_ascii=False)[1:-1]
        key = match[1] if match else last
        line_start = text.rfind("\n", 0, start)
        indent = text[line_start + 1 : start]
        before = f"(?<=\n{indent})" if line_start >= 0 and not indent.strip(" \t") else ""
        return re.compile(rf'{before}\{{\s*"{re.escape(key)}"\s*:' if key else rf'{before}\{{\s*"')

    def _balanced_end(self, limit: int) -> int | None:
        """Where the bracket that opens at the position closes, if that is before `limit` and an element may end there."""
        text, depth = self.window.text, 0
        closing = {"{": "}", "[": "]"}.get(text[self.position])
        if not closing:
            return None
        more_may_come = limit == len(text) and not self.window.at_end
        for token in BRACKET_OR_STRING.finditer(text, self.position, limit):
            if token[0] == '"' and more_may_come:
                return None  # what looks like brackets behind it may be in the string
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if depth == 0:
                after = SPACE.match(text, token.end())
                follows = text[after.end() : after.end() + 1] if after else ""
                may_end = follows in (",", "]") or not (follows or more_may_come) or not self.in_array
                is_end = token[0] == closing and may_end
                return token.end() if is_end else None
        return None

    def _enters_next_array(self) -> bool:
        """Moves into the next list of objects among the fields of the object, or behind its end.

        Raises Damage where the object goes on with something that cannot be read.
        """
        while self._skip_separators():
            if self.window.text[self.position] == "}":
                self.position += 1
                return False
            while not (field := FIELD.match(self.window.text, self.position)) and not self.window.at_end:
                if len(self.window.text) - self.position > KEPT_BEFORE:
                    break
                self._grow(self.position)
            if not field:
                break
            self.position = field.end()
            if field[1]:
                return True
            value = self._next()
            if isinstance(value, Damage) and value.reason != "not_an_object":  # a bare text is fine here
                raise value
            name = field[0].split('"')[1]
            if SAID.fullmatch(name):
                raise Damage("trailing_data", f"{name!r} behind the array, whose records were read without it")
        raise Damage("truncated", "the object around the array ends without its closing bracket")

    def _refuse_what_follows(self) -> None:
        if self._skip_separators():
            raise Damage("trailing_data", "something follows the end of the array")
