"""Documents out of plain text: neighbouring whole paragraphs, together up to a size that a model can take in."""

from collections.abc import Iterator

from stages.byte_stream import Damage, lines

Found = tuple[int, object]


def text_documents(chunks: Iterator[bytes], max_line_bytes: int, max_chars: int) -> Iterator[Found]:
    """(byte offset, document) for runs of whole paragraphs of at most `max_chars` characters together.

    Blank lines separate paragraphs. A paragraph that is longer is cut at line ends; a line is never cut, so only a
    document of one line may be longer. Line ends become LF. A paragraph with a byte that is not UTF-8 is Damage by
    itself, and so is a line of more than `max_line_bytes`.
    """
    start, held, size = 0, list[str](), 0
    try:
        for offset, paragraph in _paragraphs(chunks, max_line_bytes, max_chars):
            length = len(paragraph) if isinstance(paragraph, str) else max_chars
            if held and size + 2 + length > max_chars:
                yield start, "\n\n".join(held)
                held, size = [], 0
            if isinstance(paragraph, Damage):
                yield offset, paragraph
                continue
            start, size = (start, size + 2 + length) if held else (offset, length)
            held.append(paragraph)
    except Damage:  # the rest of the file is lost, what was read of it is not
        if held:
            yield start, "\n\n".join(held)
        raise
    if held:
        yield start, "\n\n".join(held)


def _paragraphs(chunks: Iterator[bytes], max_line_bytes: int, max_chars: int) -> Iterator[tuple[int, str | Damage]]:
    """Paragraphs, or pieces of at most `max_chars` characters of a longer one."""
    start, held, size = 0, list[str](), 0
    for offset, line in lines(chunks, max_line_bytes):
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
