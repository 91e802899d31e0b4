"""Records that are the fields of one long object, each under an id of its own: {"id1": {…}, "id2": {…}}.

They are read one at a time, as the elements of an array are. The ids are names and no part of the records.
"""

import re
from collections.abc import Iterator

from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_records import DECODER, Found
from stages.raw_files.json_values import KEPT_BEFORE, Values

OPENING = re.compile(r'\s*\{\s*"((?:[^"\\]|\\.)*)"\s*:\s*(?=[\[{])')
MEMBER = re.compile(r'"(?:[^"\\]|\\.)*"\s*:\s*(?=\S)')
BEHIND_FIRST = re.compile(r'\s*+(?:\}\s*\Z|,\s*"((?:[^"\\]|\\.)*)"\s*:\s*([\[{])|,?\s*\Z)')
# A record says two of the first in text, or has one of the second as a list; so does an object that is a record itself.
TEXTS = frozenset(
    ["prompt", "instruction", "question", "query", "input", "response", "output", "answer", "completion", "context"]
)  # fmt: skip
TURNS = frozenset(["messages", "conversations", "conversation"])
ROLES, CONTENTS = frozenset(["role", "from"]), frozenset(["content", "value"])


def is_keyed(text: str) -> bool:
    """Whether the file that starts with `text` is an object whose fields are records: the first one is, and the second
    one, if there is any, is of the same kind.
    """
    opening = OPENING.match(text)
    if not opening or opening[1].lower() in TEXTS | TURNS:
        return False
    try:
        first, end = DECODER.raw_decode(text, opening.end())
    except (Damage, RecursionError, ValueError):
        return False
    behind = BEHIND_FIRST.match(text, end)
    is_followed_alike = behind is not None and behind[2] in (None, text[opening.end()])
    return is_followed_alike and (_is_record(first) or _is_chat(first))


def _is_record(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    fields = {name.lower(): part for name, part in value.items()}
    texts = [name for name in TEXTS & fields.keys() if isinstance(fields[name], str)]
    return len(texts) > 1 or any(isinstance(fields[name], list) for name in TURNS & fields.keys())


def _is_chat(value: object) -> bool:
    match value:
        case [dict() as turn, *_]:
            return bool(ROLES & turn.keys()) and bool(CONTENTS & turn.keys())
        case _:
            return False


def keyed_values(chunks: Iterator[bytes], max_record_bytes: int) -> Iterator[Found]:
    """The value of each field. Raises Damage where the object stops between two of them, or something follows it."""
    return _Members(chunks, max_record_bytes, in_array=False).read()


class _Members(Values):
    """Behind a field that cannot be read, the next place may be that of a value, whose name is lost."""

    def read(self) -> Iterator[Found]:
        self._skip_separators()
        self.position += 1
        while self._skip_separators():
            if self.window.text[self.position] == "}":
                self.position += 1
                if self._skip_separators():
                    raise Damage("trailing_data", "something follows the end of the object")
                return
            self._skip_name()
            offset = self.window.byte_offset(self.position)
            value = self._next()
            yield offset, value
            if isinstance(value, Damage) and self.window.at_end and self.position == len(self.window.text):
                return
        raise Damage("truncated", "the object around the records ends without its closing bracket")

    def _skip_name(self) -> None:
        while self.window.text[self.position] == '"':
            if name := MEMBER.match(self.window.text, self.position):
                self.position = name.end()
                return
            if self.window.at_end or len(self.window.text) - self.position > KEPT_BEFORE:
                raise Damage("truncated", "the object around the records goes on with no field that can be read")
            self._grow(self.position)
