"""Documents out of plain text: neighbouring whole paragraphs, together up to a size that a model can take in."""

import re
from collections.abc import Iterator
from itertools import chain

from stages.raw_files.byte_stream import Damage, lines

Found = tuple[int, object]
Line = tuple[int, bytes | Damage]


LICENCE_START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)", re.IGNORECASE)
LICENCE_END = re.compile(
    r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)|End of (?:the |this )?Project Gutenberg(?:'s| E(?:book|text) of) ",
    re.IGNORECASE,
)
MAX_LICENCE_LINES = 600  # that are looked at for the first mark


class Document(str):
    """Paragraphs of a plain text file."""


class Trimmed(Document):
    """A document beside which licence text was left out."""


def text_documents(
    chunks: Iterator[bytes], max_line_bytes: int, max_chars: int, *, without_licence: bool = False
) -> Iterator[Found]:
    """(byte offset, document) for runs of whole paragraphs of at most `max_chars` characters together.

    Blank lines separate paragraphs. A paragraph that is longer is cut at line ends; a line is never cut, so only a
    document of one line may be longer. Line ends become LF. A paragraph with a byte that is not UTF-8 is Damage by
    itself, and so is a line of more than `max_line_bytes`. Without the licence that Project Gutenberg puts before and
    after a book, the first and the last document that is left are Trimmed.
    """
    told = _Licence(lines(chunks, max_line_bytes))
    documents = _documents(told.kept() if without_licence else told.lines, max_chars)
    last: tuple[int, object] | None = None
    try:
        for found in documents:
            if last:
                yield _trimmed(last) if told.starts_next() else last
            last = found
    except Damage:
        if last:
            yield _trimmed(last) if told.starts_next() else last
        raise
    if last:
        yield _trimmed(last) if told.starts_next() or told.has_end else last


def without_licence(text: str) -> str | None:
    """A whole book without the licence around it; None where there is none, or nothing else."""
    start = LICENCE_START.search(text) if "GUTENBERG" in text else None
    line_end = text.find("\n", start.end()) if start else -1
    if line_end < 0:
        return None
    end = LICENCE_END.search(text, line_end)
    return text[line_end : end.start() if end else len(text)].strip() or None


def _trimmed(found: Found) -> Found:
    return found[0], Trimmed(found[1]) if isinstance(found[1], str) else found[1]


class _Licence:
    """Tells the lines of a book from those of the licence around it."""

    def __init__(self, given: Iterator[Line]) -> None:
        self.lines = given
        self.has_end = False
        self._has_start = False

    def starts_next(self) -> bool:
        """Whether a licence stood before the document that comes next; so of one document only."""
        started, self._has_start = self._has_start, False
        return started

    def kept(self) -> Iterator[Line]:
        """The lines after the first mark and before the second, or all of them where there is no mark."""
        head: list[Line] = []
        for line in self.lines:
            head.append(line)
            if LICENCE_START.search(_text(line)):
                head, self._has_start = [], True
                break
            if len(head) >= MAX_LICENCE_LINES:
                break
        for line in chain(head, self.lines):
            if LICENCE_END.match(_text(line)):
                self.has_end = True
                return
            yield line


def _text(line: Line) -> str:
    return "" if isinstance(line[1], Damage) else line[1].decode("utf-8", "replace")


def _documents(given: Iterator[Line], max_chars: int) -> Iterator[Found]:
    start, held, size = 0, list[str](), 0
    try:
        for offset, paragraph in _paragraphs(given, max_chars):
            length = len(paragraph) if isinstance(paragraph, str) else max_chars
            if held and size + 2 + length > max_chars:
                yield start, Document("\n\n".join(held))
                held, size = [], 0
            if isinstance(paragraph, Damage):
                yield offset, paragraph
                continue
            start, size = (start, size + 2 + length) if held else (offset, length)
            held.append(paragraph)
    except Damage:  # the rest of the file is lost, what was read of it is not
        if held:
            yield start, Document("\n\n".join(held))
        raise
    if held:
        yield start, Document("\n\n".join(held))


def _paragraphs(given: Iterator[Line], max_chars: int) -> Iterator[tuple[int, str | Damage]]:
    """Paragraphs, or pieces of at most `max_chars` characters of a longer one."""
    start, held, size = 0, list[str](), 0
    for offset, line in given:
        text = "" if isinstance(line, Damage) else line.decode("utf-8", "surrogateescape").rstrip("\r\n")
        ends = not text or text.isspace()
        if held and (ends or size + 1 + len(text) > max_chars):
            yield start, _checked("\n".join(held))
            held = []
        if isinstance(line, Damage):
            yield offset, line
        elif not ends:
            start, size = (start, size + 1 + len(text)) if held else (offset, len(text))
            held.append(text)
    if held:
        yield start, _checked("\n".join(held))


def _checked(text: str) -> str | Damage:
    try:
        text.encode()
    except UnicodeEncodeError as error:  # `surrogateescape` made a lone surrogate of a bad byte
        return Damage(
            "invalid_utf8", f"byte 0x{ord(text[error.start]) - 0xDC00:02x} at character {error.start} of the paragraph"
        )
    return text
