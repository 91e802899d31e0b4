"""Writes a file in a test and reads its records."""

from pathlib import Path

from stages.raw_files.records import BrokenRecord, Record, read_records
from stages.raw_files.source_files import SourceFile


def source_file(folder: Path, content: bytes, name: str = "data.json") -> SourceFile:
    path = folder / name
    path.write_bytes(content)
    return SourceFile("here", name, path, "0" * 64)


def read(folder: Path, content: bytes | str, name: str = "data.json", **limits: int) -> list[Record | BrokenRecord]:
    encoded = content.encode() if isinstance(content, str) else content
    return list(read_records(source_file(folder, encoded, name), **limits))


def values(records: list[Record | BrokenRecord]) -> list[object]:
    return [record.value for record in records if isinstance(record, Record)]


def faults(records: list[Record | BrokenRecord]) -> list[tuple[int | None, str]]:
    return [(record.index, record.reason) for record in records if isinstance(record, BrokenRecord)]
