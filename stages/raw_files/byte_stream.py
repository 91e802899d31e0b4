"""Bytes of a file from outside, decompressed by content rather than by name, in chunks, so that memory stays bounded."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import BinaryIO

import zstandard

CHUNK_BYTES = 1 << 20
ZSTD_STEP_BYTES = 1 << 10  # one block of 4 bytes can hold 128 KiB, so this much input makes at most 32 MiB

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
XZ_MEMORY_BYTES = 1 << 27  # the strongest setting of xz takes 65 MiB to unpack
WIDE = {"utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)}
ZSTD = (
    b"\x28\xb5\x2f\xfd",
    *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)),
)  # pzstd starts with a frame to skip
ARCHIVE, FOREIGN = "archive", "unsupported_format"
NOT_READ = {
    b"PK\x03\x04": (ARCHIVE, "a zip archive, or a workbook of Excel's"),
    b"PK\x05\x06": (ARCHIVE, "an empty zip archive"),
    b"7z\xbc\xaf": (ARCHIVE, "a 7z archive"),
    b"Rar!\x1a\x07": (ARCHIVE, "a rar archive"),
    b"\xd0\xcf\x11\xe0\xa1\xb1": (FOREIGN, "a document of an old Office, such as a workbook"),
    b"\x04\x22\x4d\x18": (FOREIGN, "lz4 data"),
}


NO_END_MARK = "the compressed data ends before its end mark"


class Damage(Exception):
    """What is wrong with bytes from outside: raised where the rest of a file is lost, yielded where one record is."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason  # snake_case, names what was wrong
        self.detail = detail


def decompressed(path: Path) -> Generator[bytes]:
    """The content of a plain, gzip, bzip2, xz or zstd file, about a MiB at a time; text that a byte order mark says to be
    in UTF-16 or UTF-32 comes in UTF-8.

    Raises Damage after the last byte that could be had: `truncated`, `corrupt_compression`, `unsupported_format`,
    `archive`, `unreadable`.
    """
    try:
        with path.open("rb") as file:
            yield from _in_utf8(_coalesced(_steps(file)))
    except OSError as error:
        raise Damage("unreadable", f"{error.strerror or error}") from error


def _steps(file: BinaryIO) -> Iterator[bytes]:
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(GZIP):
        yield from _gzip_steps(gzip.GzipFile(fileobj=file))
    elif magic.startswith(BZIP2):
        yield from _stream_steps(file, bz2.BZ2Decompressor)
    elif magic.startswith(XZ):
        yield from _stream_steps(file, lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES))
    elif magic.startswith(ZSTD):
        yield from _zstd_steps(file)
    else:
        for start, (reason, name) in NOT_READ.items():
            if magic.startswith(start):
                raise Damage(reason, name)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _gzip_steps(file: gzip.GzipFile) -> Iterator[bytes]:
    """`read1` hands out what is there before it fails; `read` would lose it."""
    try:
        while chunk := file.read1(CHUNK_BYTES):
            yield chunk
    except EOFError as error:
        raise Damage("truncated", NO_END_MARK) from error
    except (zlib.error, OSError) as error:
        raise Damage("corrupt_compression", str(error)) from error


def _stream_steps(file: BinaryIO, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Iterator[bytes]:
    """One stream after the other; `bz2.BZ2File` would drop without a word what follows the first one and is no stream."""
    stream = new()
    step = file.read(CHUNK_BYTES)
    try:
        while step or not stream.needs_input:
            yield stream.decompress(step, CHUNK_BYTES)
            if stream.eof:
                step, stream = stream.unused_data or file.read(CHUNK_BYTES), new()
                if not step:
                    return
            else:
                step = file.read(CHUNK_BYTES) if stream.needs_input else b""
    except (OSError, lzma.LZMAError) as error:
        raise Damage("corrupt_compression", str(error)) from error
    raise Damage("truncated", NO_END_MARK)


def _zstd_steps(file: BinaryIO) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        while step := file.read(ZSTD_STEP_BYTES):
            while step:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(step)
                step = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise Damage("corrupt_compression", str(error)) from error
    if not frame.eof:
        raise Damage("truncated", "the compressed data ends inside a frame")


def _coalesced(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of a MiB or more; what came before damage is handed out before the damage is raised."""
    gathered: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            gathered.append(chunk)
            size += len(chunk)
            if size >= CHUNK_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
    except Damage:
        yield b"".join(gathered)
        raise
    yield b"".join(gathered)


def _in_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8; half a pair of UTF-16 becomes bytes that are none, at the place where it stands."""
    first = next(chunks, b"")
    encoding = next((name for name, marks in WIDE.items() if first.startswith(marks)), None)
    if encoding is None:
        yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for chunk in chain([first], chunks):
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Damage("unsupported_encoding", f"broken {encoding.upper()}: {error.reason}") from error


def lines(chunks: Iterator[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes | Damage]]:
    """Each line with its end (LF, CRLF or CR) and its offset; one that is too long is yielded as Damage instead."""
    for together in lines_together(chunks, max_line_bytes):
        yield from together


def lines_together(chunks: Iterator[bytes], max_line_bytes: int) -> Iterator[list[tuple[int, bytes | Damage]]]:
    """The same, neighbouring ones in a list."""
    for start, block in line_blocks(chunks, max_line_bytes):
        if isinstance(block, Damage):
            yield [(start, block)]
            continue
        found = block.splitlines(keepends=True)
        starts = accumulate(map(len, found), initial=start)
        if len(block) <= max_line_bytes:
            yield list(zip(starts, found, strict=False))
            continue
        yield [
            (offset, line if len(line) <= max_line_bytes else _too_long(max_line_bytes))
            for offset, line in zip(starts, found, strict=False)
        ]


def line_blocks(
    chunks: Iterator[bytes], max_line_bytes: int, min_bytes: int = 0
) -> Iterator[tuple[int, bytes | Damage]]:
    """Runs of whole lines of `min_bytes` or more, with their offset; Damage in place of a line that outgrows its limit.

    Of a stream that breaks off, the lines that were whole come before its Damage is raised.
    """
    offset, held, size, wanted, too_long = 0, list[bytes](), 0, min_bytes, False
    try:
        for chunk in chunks:
            rest = chunk
            if too_long:  # the rest of that line is dropped
                rest = chunk[_first_line_end(chunk) :]
                offset += len(chunk) - len(rest)
                too_long = not rest
            held.append(rest)
            size += len(rest)
            if size < wanted or too_long:
                continue
            data = b"".join(held)
            cut = _last_line_end(data)
            if len(data) - cut > max_line_bytes:  # lines that end with CR may follow the last LF
                cut += _last_line_end(data[cut:])
            if cut:
                yield offset, data[:cut]
            held, size, offset = [data[cut:]], len(data) - cut, offset + cut
            if size > max_line_bytes:
                yield offset, _too_long(max_line_bytes)
                held, size, offset, too_long = [], 0, offset + size, True
            wanted = max(min_bytes, min(2 * size, max_line_bytes + 1))  # joined seldom, or long lines cost their square
    except Damage:
        data = b"".join(held)
        if cut := _last_line_end(data):
            yield offset, data[:cut]
        raise
    if size:
        yield offset, b"".join(held)


def _first_line_end(data: bytes) -> int:
    """Where the second line starts; the length where there is none."""
    found = [end for mark in (b"\n", b"\r") if (end := data.find(mark)) >= 0]
    return min(found) + 1 if found else len(data)


def _last_line_end(data: bytes) -> int:
    """Where the last, unfinished line starts; a CR at the very end may be half of a CRLF."""
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, max(0, len(data) - 1)) + 1


def _too_long(max_line_bytes: int) -> Damage:
    return Damage("line_too_long", f"more than {max_line_bytes:,} bytes without a line end")
