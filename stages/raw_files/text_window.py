"""The part of a byte stream that is being read, as text, with the way back to byte offsets."""

import codecs
import re
from collections.abc import Iterator

from stages.raw_files.byte_stream import Damage

BAD_BYTE = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of a byte that is not UTF-8


class TextWindow:
    """The part of a byte stream that is being read, as text; bytes that are not UTF-8 become lone surrogates."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.text = ""
        self.at_end = False
        self.has_bad_bytes = False
        self._chunks = chunks
        self._damage: Damage | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._mark, self._mark_offset = 0, 0  # a position in `text` and its byte offset in the stream

    def byte_offset(self, position: int) -> int:
        """Offset in the stream of the character at `position`."""
        first, last = min(position, self._mark), max(position, self._mark)
        between = last - first if self.text.isascii() else encoded_length(self.text[first:last])
        self._mark_offset += between if position >= self._mark else -between
        self._mark = position
        return self._mark_offset

    def grow(self, keep_from: int) -> None:
        """Drops what lies before `keep_from`, which becomes position 0, and at least doubles what is left.

        Raises the stream's Damage when there is nothing more to be had before it.
        """
        if self._damage:
            raise self._damage
        self.byte_offset(keep_from)
        new = "".join(self._read(len(self.text) - keep_from))
        self.has_bad_bytes |= not new.isascii() and BAD_BYTE.search(new) is not None
        self.text, self._mark = self.text[keep_from:] + new, 0

    def _read(self, min_chars: int) -> Iterator[str]:
        size = 0
        while size <= min_chars and not self.at_end:
            try:
                chunk = next(self._chunks, None)
            except Damage as damage:
                self._damage = damage
                return
            self.at_end = chunk is None
            text = self._decoder.decode(chunk or b"", self.at_end)
            size += len(text)
            yield text

    def unread(self, position: int) -> bytes:
        """What was taken from the stream and lies behind `position`."""
        return self.text[position:].encode("utf-8", "surrogateescape") + self._decoder.getstate()[0]


def encoded_length(text: str) -> int:
    """Bytes of `text` in the stream it was read from."""
    return len(text.encode("utf-8", "surrogateescape"))
