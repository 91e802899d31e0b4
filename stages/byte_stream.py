"""Bytes of a file from outside, decompressed by content rather than by name, in chunks, so that memory stays bounded."""

import bz2
import gzip
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

CHUNK_BYTES = 1 << 20
ZSTD_STEP_BYTES = 1 << 10  # one block of 4 bytes can hold 128 KiB, so this much input makes at most 32 MiB

GZIP, BZIP2, ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ\x00": "xz data",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x04\x22\x4d\x18": "lz4 data",
}


class Damage(Exception):
    """What is wrong with bytes from outside: raised where the rest of a file is lost, yielded where one record is."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason  # snake_case, names what was wrong
        self.detail = detail


def decompressed(path: Path) -> Generator[bytes]:
    """The content of a plain, gzip, bzip2 or zstd file, about a MiB at a time.

    Raises Damage after the last byte that could be had: `truncated`, `corrupt_compression`, `unsupported_format`,
    `unreadable`.
    """
    try:
        with path.open("rb") as file:
            yield from _coalesced(_steps(file))
    except OSError as error:
        raise Damage("unreadable", f"{error.strerror or error}") from error


def _steps(file: BinaryIO) -> Iterator[bytes]:
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(GZIP):
        yield from _unpacked(gzip.GzipFile(fileobj=file))
    elif magic.startswith(BZIP2):
        yield from _unpacked(bz2.BZ2File(file))
    elif magic.startswith(ZSTD):
        yield from _zstd_steps(file)
    else:
        for foreign, name in FOREIGN.items():
            if magic.startswith(foreign):
                raise Damage("unsupported_format", name)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _unpacked(file: gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    """`read1` hands out what is there before it fails; `read` would lose it."""
    try:
        while chunk := file.read1(CHUNK_BYTES):
            yield chunk
    except EOFError as error:
        raise Damage("truncated", "the compressed data ends before its end mark") from error
    except (zlib.error, OSError) as error:
        raise Damage("corrupt_compression", str(error)) from error


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


def lines(chunks: Iterator[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes | Damage]]:
    """Each line with its end (LF, CRLF or CR) and its offset; one that is too long is yielded as Damage instead."""
    offset, rest, too_long = 0, b"", False
    for chunk in chunks:
        parts = (rest + chunk).splitlines(keepends=True)
        # A CR at the end may be half of a CRLF.
        rest = b"" if not parts or parts[-1].endswith(b"\n") else parts.pop()
        for part in parts:
            if too_long:
                too_long = False
            elif len(part) > max_line_bytes:
                yield offset, _too_long(max_line_bytes)
            else:
                yield offset, part
            offset += len(part)
        if len(rest) > max_line_bytes:
            if not too_long:
                yield offset, _too_long(max_line_bytes)
            offset, rest, too_long = offset + len(rest), b"", True
    if rest and not too_long:
        yield offset, rest


def _too_long(max_line_bytes: int) -> Damage:
    return Damage("line_too_long", f"more than {max_line_bytes:,} bytes without a line end")
