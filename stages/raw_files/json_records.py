"""JSON values out of lines, each by itself.

A line that cannot be read costs itself and not the file. Readers yield (byte offset, value), with a Damage in place of a
value that is lost.
"""

import json
from collections.abc import Iterator

from stages.raw_files.byte_stream import Damage, lines
from stages.raw_files.json_repairs import COMMENT_LINE, Mended, in_windows_1252, mended, record_in
from stages.raw_files.repair_names import WINDOWS_1252

Found = tuple[int, object]
Line = tuple[int, bytes | Damage]

MAX_COMMENT_BYTES = 1 << 16  # of comments in a row, which are kept until a record follows


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise Damage("duplicate_key", f"key {doubled!r} stands twice in one object")
    return made


EXTRA = "Extra data"  # as the decoder says where a whole value is followed by something
DECODER = json.JSONDecoder(object_pairs_hook=_object)


def parse_line(line: bytes) -> object:
    """The JSON value of one line, or the Damage that says why there is none."""
    if line.lstrip()[:1] == b"/" and COMMENT_LINE.match(line):
        return Damage("comment", "a comment that no record follows")
    try:
        text = line.decode()
        return no_document(DECODER.decode(text))
    except UnicodeDecodeError as error:
        fault = Damage("invalid_utf8", f"byte 0x{line[error.start]:02x} at byte {error.start} of the record")
        return in_another_encoding(line, fault)
    except (Damage, RecursionError, ValueError) as error:
        fault = fault_of(error, 0)
    return fault if fault.reason != "invalid_json" else _read_again(text, fault)


def _read_again(text: str, fault: Damage) -> object:
    """The value of a line with something around it or in it that is no part of it; `fault` where there is none."""
    try:
        return no_document(DECODER.decode(record_in(text)))
    except (Damage, RecursionError, ValueError):
        return mended(record_in(text), DECODER.decode, fault.detail) or fault


def in_another_encoding(data: bytes, fault: Damage) -> object:
    """The object that `data` holds if it is in Windows-1252, for whoever may know so; else `fault`."""
    text = in_windows_1252(data)
    try:
        value = DECODER.decode(record_in(text or ""))
    except (Damage, RecursionError, ValueError):
        return fault
    return Mended(value, (WINDOWS_1252,), fault.detail, fault.reason) if isinstance(value, dict) else fault


def no_document(value: object) -> object:
    """A bare string is no record: only plain text files hold documents without a field name. One that is an object in
    JSON was encoded twice."""
    if not isinstance(value, str):
        return value
    try:
        inner = DECODER.decode(value) if value.startswith("{") else None
    except (Damage, RecursionError, ValueError):
        inner = None
    return inner or Damage("not_an_object", f"a bare string of {len(value):,} characters")


def is_followed_in_its_line(text: str) -> bool:
    """Whether an object at the start of `text` is whole, and another one starts in the line where it ends."""
    try:
        _, end = DECODER.raw_decode(text)
    except (Damage, RecursionError, ValueError):
        return False
    return text[end:].lstrip(" \t").startswith("{")


def json_lines(chunks: Iterator[bytes], max_record_bytes: int) -> Iterator[Found]:
    """One value per line that is not blank; a broken last line without a line end is `truncated`."""
    for offset, line in record_lines(lines(chunks, max_record_bytes)):
        yield offset, line if isinstance(line, Damage) else whole_line(line)


def record_lines(found: Iterator[Line]) -> Iterator[Line]:
    """Each line that is not blank; one that is nothing but a comment belongs to the record behind it."""
    start, comments = 0, b""
    for offset, line in found:
        if isinstance(line, bytes) and line.isspace():
            continue
        is_comment = isinstance(line, bytes) and line.lstrip()[:1] == b"/" and COMMENT_LINE.match(line) is not None
        start = start if comments else offset
        if isinstance(line, bytes) and (comments or is_comment):
            comments += line
            if is_comment and len(comments) < MAX_COMMENT_BYTES:
                continue
            offset, line = start, comments
        elif comments:
            yield start, comments
        yield offset, line
        comments = b""
    if comments:
        yield start, comments


def whole_line(line: bytes) -> object:
    """The value of a line as it stands in its file: without a line end it is the last one, and may have been cut."""
    value = parse_line(line)
    may_be_cut = not line.endswith((b"\n", b"\r")) and isinstance(value, Damage) and not value.detail.startswith(EXTRA)
    if may_be_cut and isinstance(value, Damage) and value.reason == "invalid_json":
        return Damage("truncated", f"the file ends inside the record: {value.detail}")
    return value


def fault_of(error: Exception, start: int) -> Damage:
    if isinstance(error, Damage):
        return error
    if isinstance(error, RecursionError):
        return Damage("nested_too_deep", "brackets nested deeper than the JSON reader follows")
    if isinstance(error, json.JSONDecodeError):
        return Damage("invalid_json", f"{error.msg.removesuffix(' at')} at character {error.pos - start} of the record")
    return Damage("invalid_json", str(error))  # an integer with more digits than Python converts
