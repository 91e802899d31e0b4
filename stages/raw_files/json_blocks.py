"""Cuts long JSON files into blocks of whole records that can be read apart, each by itself.

What no block can be made of comes as values, read one at a time: the records of a file are the same either way.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Literal, NamedTuple

import msgspec

from stages.raw_files.byte_stream import Damage, line_blocks, lines
from stages.raw_files.json_records import MAX_COMMENT_BYTES, Found, json_lines, parse_line, record_lines, whole_line
from stages.raw_files.json_repairs import COMMENT_LINE
from stages.raw_files.json_values import FIRST_KEY, Values

BLOCK_BYTES = 1 << 22
SLICE_BYTES = 1 << 16  # what the slow reader takes at a time of what was held for a block
MIN_STRETCH, MAX_STRETCH = 256, 1 << 14  # values read one at a time before a block is tried again

LEAD = re.compile(rb"[\s,]*")
KEY = re.compile(rb'\{\s*("(?:[^"\\]|\\.)*")\s*:')
BETWEEN = re.compile(rb"\}[ \t\r\n]{0,1000}(,)[ \t\r\n]{0,1000}\{[ \t\r\n]{0,1000}\Z")
BETWEEN_BYTES = 3_003
MAX_CUTS_TRIED = 64
RAW_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class Block(NamedTuple):
    """Whole records of a JSON file: lines, or elements of an array with commas between them."""

    offset: int  # of the first byte in the decompressed file
    data: bytes
    form: Literal["lines", "elements"]

    def elements(self) -> Iterator[tuple[int, bytes]]:
        """Each record with its offset in the file, that of the comments before it if there are any; blank lines are none."""
        if self.form == "lines":
            for start, line in record_lines(lines(iter([self.data]), len(self.data))):
                if isinstance(line, bytes):
                    yield self.offset + start, line
            return
        raws = _raw_elements(self.data)
        yield from zip(self._starts(raws), map(bytes, raws), strict=True)

    def _starts(self, raws: Iterable[msgspec.Raw]) -> list[int]:
        starts, position = list[int](), 0
        for raw in raws:
            position = _behind_lead(self.data, position)
            starts.append(self.offset + position)
            position += len(raw)
        return starts

    def offsets(self, records: int) -> list[int]:
        """Where each of the records starts in the file, of which there are `records`."""
        if self.form == "elements":
            return self._starts(_raw_elements(self.data))
        if b"\r" not in self.data:
            starts = list(accumulate(map(len, self.data.splitlines(keepends=True)), initial=self.offset))[:-1]
            if len(starts) == records:  # so none is blank
                return starts
        return [offset for offset, _ in self.elements()]

    def value(self, element: bytes) -> object:
        """What one of `elements` says, or the Damage that says why it says nothing."""
        return whole_line(element) if self.form == "lines" else parse_line(element)


def _behind_lead(data: bytes, position: int = 0) -> int:
    """Where the next element starts: behind a comma and white space, which is found sooner than its bytes are."""
    lead = LEAD.match(data, position)
    return lead.end() if lead else position


def _raw_elements(data: bytes) -> list[msgspec.Raw]:
    """The elements of an array, without its brackets. Raises msgspec.DecodeError where they are not sound."""
    return RAW_ELEMENTS.decode(b"[" + data + b"]")


def cut_lines(chunks: Iterator[bytes], max_record_bytes: int, first_byte: int) -> Iterator[Block | list[Found]]:
    """JSON lines in blocks; lines that are too long are Damage. The stream starts at `first_byte` of its file."""
    for start, data in _before_comments(line_blocks(chunks, max_record_bytes, BLOCK_BYTES)):
        if isinstance(data, Damage):
            yield [(first_byte + start, data)]
        elif len(data) <= max_record_bytes or max(map(len, data.splitlines(keepends=True))) <= max_record_bytes:
            yield Block(first_byte + start, data, "lines")
        else:
            found = json_lines(iter([data]), max_record_bytes)
            yield [(first_byte + start + offset, value) for offset, value in found]


def _before_comments(blocks: Iterator[tuple[int, bytes | Damage]]) -> Iterator[tuple[int, bytes | Damage]]:
    """The same lines, comments at the end of a block together with the record that follows them in the next one."""
    held, offset = b"", 0
    try:
        for start, data in blocks:
            if isinstance(data, Damage):
                if held:
                    yield offset, held
                yield start, data
                held = b""
                continue
            first, together = start - len(held), held + data
            end = _end_of_records(together)
            if end:
                yield first, together[:end]
            held, offset = together[end:], first + end
    except Damage:
        if held:
            yield offset, held
        raise
    if held:
        yield offset, held


def _end_of_records(data: bytes) -> int:
    """Where the comments and blank lines start that `data` ends with."""
    end = len(data)
    while end and len(data) - end < MAX_COMMENT_BYTES:
        start = max(data.rfind(b"\n", 0, end - 1), data.rfind(b"\r", 0, end - 1)) + 1
        line = data[start:end]
        if not line.isspace() and not (line.lstrip()[:1] == b"/" and COMMENT_LINE.match(line)):
            break
        end = start
    return end


def cut_array(chunks: Iterator[bytes], max_record_bytes: int, first_byte: int) -> Iterator[Block | list[Found]]:
    """The elements of one array in blocks, and values where it is damaged. Raises Damage as `json_values` does."""
    return _Array(chunks, max_record_bytes, first_byte).cut()


class _Stream:
    """Chunks that can be given back; damage at their end comes again each time that the end is reached."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._given_back: list[bytes] = []  # the next one last
        self._damage: Damage | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._given_back:
            return self._given_back.pop()
        if self._damage:
            raise self._damage
        try:
            return next(self._chunks)
        except Damage as damage:
            self._damage = damage
            raise

    def give_back(self, data: bytes) -> None:
        """In slices, so that who reads one value need not decode all."""
        starts = range(0, len(data), SLICE_BYTES)
        self._given_back.extend(data[start : start + SLICE_BYTES] for start in reversed(starts))


class _Array:
    def __init__(self, chunks: Iterator[bytes], max_record_bytes: int, first_byte: int) -> None:
        self.stream = _Stream(chunks)
        self.max_record_bytes = max_record_bytes
        self.is_over = False
        self.offset = first_byte  # of what the stream gives next
        self.last_key: str | None = None  # the first key of the last whole object
        values = Values(self.stream, max_record_bytes, in_array=True)
        values.enter_array()
        self.is_wrapped = values.is_wrapped
        self._go_on_behind(values)

    def _go_on_behind(self, values: Values) -> None:
        read, unread = values.unread()
        self.stream.give_back(unread)
        self.offset += read
        self.last_key = values.last_key or self.last_key

    def cut(self) -> Iterator[Block | list[Found]]:
        stretch = MIN_STRETCH
        while not self.is_over:
            if block := self._block():
                yield block
                stretch = MIN_STRETCH
            else:
                yield from self._values(stretch)
                stretch = min(2 * stretch, MAX_STRETCH)

    def _block(self) -> Block | None:
        """The elements up to the last place where the array can be cut; None where it is not sound up to there."""
        held, is_all = self._held()
        start = _behind_lead(held)
        closed = is_all and not self.is_wrapped and held.rstrip().endswith(b"]")
        end = held.rindex(b"]") if closed else _last_comma(held, start)
        data = held[start:end] if end is not None and end > start else b""
        raws = _sound(data) if data else None
        if end is None or not raws or max(map(len, raws)) > self.max_record_bytes:
            self.stream.give_back(held)
            return None
        self.stream.give_back(held[end:])
        block = Block(self.offset + start, data, "elements")
        self.offset, self.is_over = self.offset + end, closed
        key = FIRST_KEY.match(bytes(raws[-1])[:SLICE_BYTES].decode("utf-8", "replace"))
        self.last_key = key[1] if key else self.last_key
        return block

    def _held(self) -> tuple[bytes, bool]:
        """About a block's bytes of the stream, and whether they are all there is and end without damage."""
        held, size = list[bytes](), 0
        try:
            for chunk in self.stream:
                held.append(chunk)
                size += len(chunk)
                if size >= BLOCK_BYTES:
                    return b"".join(held), False
        except Damage:
            return b"".join(held), False
        return b"".join(held), True

    def _values(self, count: int) -> Iterator[list[Found]]:
        """`count` values or a few more, read one at a time."""
        values = Values(self.stream, self.max_record_bytes, in_array=True)
        values.last_key, values.is_wrapped = self.last_key, self.is_wrapped
        found: list[Found] = []
        try:
            for offset, value in values.read():
                found.append((self.offset + offset, value))
                if len(found) >= count and not isinstance(value, Damage):
                    self._go_on_behind(values)
                    break
            else:
                self.is_over = True
        except Damage:
            yield found
            raise
        yield found


def _last_comma(data: bytes, start: int) -> int | None:
    """The last comma between two objects that open with the key that the first one opens with."""
    first = KEY.match(data, start)
    position = len(data)
    for _ in range(MAX_CUTS_TRIED if first else 0):
        position = data.rfind(first[1] if first else b"", start, position)
        if position <= start:
            return None
        if match := BETWEEN.search(data[max(start, position - BETWEEN_BYTES) : position]):
            return max(start, position - BETWEEN_BYTES) + match.start(1)
    return None


def _sound(data: bytes) -> list[msgspec.Raw] | None:
    try:
        return _raw_elements(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
