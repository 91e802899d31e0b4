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
    start, held, size = 0, list[bytes](), 0
    for offset, line in lines(chunks, max_line_bytes):
        ends = isinstance(line, Damage) or line.isspace()
        if held and (ends or size + len(line) > max_chars):
            yield start, _decoded(held)
            held, size = [], 0
        if isinstance(line, Damage):
            yield offset, line
        elif not ends:
            start = start if held else offset
            held.append(line.rstrip(b"\r\n"))
            size += len(line)
    if held:
        yield start, _decoded(held)


def _decoded(held: list[bytes]) -> str | Damage:
    text = b"\n".join(held)
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        return Damage("invalid_utf8", f"byte 0x{text[error.start]:02x} at byte {error.start} of the paragraph")
