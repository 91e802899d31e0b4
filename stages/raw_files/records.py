"""Records out of files from outside: what a file holds is told from its content, and damage costs what it hits."""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Literal

from stages.raw_files.arrow_records import FILE_MAGIC as ARROW_FILE
from stages.raw_files.arrow_records import STREAM_MAGIC as ARROW_STREAM
from stages.raw_files.arrow_records import arrow_rows
from stages.raw_files.byte_stream import Damage, decompressed
from stages.raw_files.csv_records import STATED_DELIMITER, csv_rows, form_of_header, known_names
from stages.raw_files.event_streams import STARTS as STARTS_EVENTS
from stages.raw_files.event_streams import event_values
from stages.raw_files.foreign_files import refuse_foreign
from stages.raw_files.json_blocks import Block, cut_array, cut_lines
from stages.raw_files.json_members import is_keyed, keyed_values
from stages.raw_files.json_records import is_followed_in_its_line, json_lines, parse_line
from stages.raw_files.json_repairs import Mended, without_comments
from stages.raw_files.json_values import WRAPPER, json_values
from stages.raw_files.parquet_records import MAGIC as PARQUET_MAGIC
from stages.raw_files.parquet_records import parquet_rows
from stages.raw_files.source_files import SourceFile
from stages.raw_files.text_records import text_documents

MAX_RECORD_BYTES = 1 << 24
TEXT_CHARS = 2_000  # about 500 tokens of English

HEAD_BYTES = 1 << 16  # what is looked at to tell the format
UTF8_BOM = b"\xef\xbb\xbf"
COMPRESSED = {".gz", ".zst", ".bz2", ".xz"}
TEXT_SUFFIXES = {".txt", ".text"}
JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
CSV_SUFFIXES = {".csv", ".tsv"}
LOOKS_LIKE_JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{]|"\{\s*\\")')  # the last: encoded twice
STARTS_LIKE_JSON = re.compile(rb"^\s*[\[{]", re.MULTILINE)
MAY_START_WITH_COMMENT = re.compile(rb"[\s\[{]*/[/*]")
BATCH_VALUES = 1 << 13
BATCH_CHARS = 1 << 24
NESTED = (dict, list)

Found = tuple[int, object]
Form = Literal["json_lines", "json_array", "json_values", "json_members", "events", "csv", "text", "parquet", "arrow"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a source file."""

    index: int  # position in the file from 0; broken records count too
    byte_offset: int  # of its first byte in the decompressed file; 0 for Parquet rows
    value: object  # dict for JSON, CSV and Parquet; str for a plain text document


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A record, or what is left of a file, that cannot be read."""

    index: int | None  # None: the file as a whole, or the rest of it
    byte_offset: int
    reason: str  # snake_case, names what is wrong
    detail: str


def read_records(
    file: SourceFile, *, max_record_bytes: int = MAX_RECORD_BYTES, text_chars: int = TEXT_CHARS
) -> Iterator[Record | BrokenRecord]:
    """Every record of a file in order; what cannot be read comes as BrokenRecord, at most once for the file as a whole.

    Reads JSON (an array, lines, objects one after the other or by their ids, server-sent events), CSV with a header,
    Parquet, Arrow and plain text, each also as gzip, bzip2, xz or zstd, whatever the file is called. A plain text file gives
    documents of whole paragraphs of at most `text_chars` characters. Never raises for what is in a file, and holds a few `max_record_bytes` of it at most.
    """
    index, offset = 0, 0
    try:
        if file.problem:
            raise Damage(file.problem.split(":")[0].replace(" ", "_"), file.problem)
        with closing(decompressed(file.path)) as chunks:
            for offset, value in _values(chunks, file, max_record_bytes, text_chars):
                if isinstance(value, Mended) and not value.is_certain:
                    yield BrokenRecord(index, offset, value.reason, value.fault)
                elif isinstance(value, Damage):
                    yield BrokenRecord(index, offset, value.reason, value.detail)
                else:
                    yield Record(index, offset, value)
                index += 1
        if not index:
            raise Damage("empty_file", "the file holds no record")
    except Damage as damage:
        yield BrokenRecord(None, offset, damage.reason, damage.detail)


def read_blocks(
    file: SourceFile, *, max_record_bytes: int, text_chars: int, without_licence: bool = False
) -> Iterator[Block | list[Found]]:
    """The records of `read_records` in the same order, neighbouring ones together, JSON of known form still to be read.

    Raises Damage where a BrokenRecord for the file as a whole would come.
    """
    if file.problem:
        raise Damage(file.problem.split(":")[0].replace(" ", "_"), file.problem)
    with closing(decompressed(file.path)) as chunks:
        head = next(chunks, b"")
        form, bom_bytes = _form_of_file(head, file.name)
        stream = chain([head[bom_bytes:]], chunks)
        if form == "json_lines":
            yield from cut_lines(stream, max_record_bytes, bom_bytes)
        elif form == "json_array":
            yield from cut_array(stream, max_record_bytes, bom_bytes)
        elif form == "text" and without_licence:
            documents = text_documents(stream, max_record_bytes, text_chars, without_licence=True)
            yield from _batches((bom_bytes + offset, value) for offset, value in documents)
        else:
            yield from _batches(_values(chain([head], chunks), file, max_record_bytes, text_chars))


def is_cut_in_blocks(file: SourceFile) -> bool:
    """Whether `read_blocks` gives blocks of this file."""
    try:
        with closing(decompressed(file.path)) as chunks:
            return _form_of_file(next(chunks, b""), file.name)[0] in ("json_lines", "json_array")
    except Damage:
        return False


def _batches(values: Iterator[Found]) -> Iterator[list[Found]]:
    """Neighbouring values, few enough and short enough to be held in memory; those before damage come before it."""
    batch, chars = list[Found](), 0
    try:
        for offset, value in values:
            batch.append((offset, value))
            # Where there are offsets, no text has more characters than bytes; a page of Parquet may unpack to any number.
            chars = offset - batch[0][0] if offset else chars + chars_of(value)
            if len(batch) >= BATCH_VALUES or chars > BATCH_CHARS:
                yield batch
                batch, chars = [], 0
    except Damage:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def chars_of(value: object) -> int:
    """Characters of all texts in a value."""
    total, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        parts: Iterable[object] = one.values() if isinstance(one, dict) else one if isinstance(one, list) else (one,)
        for part in parts:
            if isinstance(part, str):
                total += len(part)
            elif isinstance(part, NESTED):
                waiting.append(part)
    return total


def _form_of_file(head: bytes, name: str) -> tuple[Form, int]:
    """How a file is written, and the bytes of its byte order mark."""
    if head.startswith(PARQUET_MAGIC):
        return "parquet", 0
    if head.startswith((ARROW_FILE, ARROW_STREAM)):
        return "arrow", 0
    bom_bytes = len(UTF8_BOM) if head.startswith(UTF8_BOM) else 0
    return form_of(head[bom_bytes:], name), bom_bytes


def _values(chunks: Iterator[bytes], file: SourceFile, max_record_bytes: int, text_chars: int) -> Iterator[Found]:
    head = next(chunks, b"")
    form, bom_bytes = _form_of_file(head, file.name)
    stream = chain([head[bom_bytes:]], chunks)
    match form:
        case "parquet" | "arrow":
            with file.path.open("rb") as opened:
                if not head.startswith(opened.read(len(PARQUET_MAGIC))):
                    raise Damage(
                        "unsupported_format", "Parquet or Arrow in a compressed file, which must be unpacked first"
                    )
            return (parquet_rows if form == "parquet" else arrow_rows)(file.path, max_record_bytes)
        case "json_lines":
            values = json_lines(stream, max_record_bytes)
        case "json_members":
            values = keyed_values(stream, max_record_bytes)
        case "events":
            values = event_values(stream, max_record_bytes)
        case "csv":
            values = csv_rows(stream, max_record_bytes, prefers_tabs=_suffix(file.name) == ".tsv")
        case "text":
            values = text_documents(stream, max_record_bytes, text_chars)
        case _:
            values = json_values(stream, max_record_bytes, in_array=form == "json_array")
    return ((bom_bytes + offset, value) for offset, value in values) if bom_bytes else values


def form_of(start: bytes, name: str) -> Form:
    """How the file with this `start` is written; the name decides only where the content leaves it open.

    Raises Damage for what is none of them.
    """
    head = start[:HEAD_BYTES]
    suffix = _suffix(name)
    if not LOOKS_LIKE_JSON.match(head) and MAY_START_WITH_COMMENT.match(head):
        start = without_comments(start.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        head = start[:HEAD_BYTES]
    first_lines = [line for line in head.splitlines() if line.strip()][:2]
    if LOOKS_LIKE_JSON.match(head):
        return _json_form(start, first_lines)
    refuse_foreign(head, is_prose=suffix in TEXT_SUFFIXES)
    if STARTS_EVENTS.match(head):
        return "events"
    if suffix in JSON_SUFFIXES and STARTS_LIKE_JSON.search(head):
        return _json_form(start, first_lines)
    if suffix in CSV_SUFFIXES or (
        first_lines and _is_known_header(first_lines[-1 if STATED_DELIMITER.fullmatch(first_lines[0]) else 0])
    ):
        return "csv"
    if suffix in TEXT_SUFFIXES:
        return "text"
    if first_lines:
        raise Damage(
            "unsupported_format", f"neither JSON, CSV, Parquet nor, by its name, plain text ({suffix or 'no suffix'})"
        )
    return "json_lines"


def _suffix(name: str) -> str:
    """The last one in lower case, but for those of compressed files; empty where there is none."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes if suffix.lower() not in COMPRESSED]
    return suffixes[-1] if suffixes else ""


def _is_list_in_a_line(start: bytes) -> bool:
    """Whether the first line ends a list and the next one starts a value, which in an array would take a comma.

    Where the next line is broken, a list that is whole and any later line tell the same.
    """
    first, *others = [line.strip() for line in start.splitlines() if line.strip()]
    starts = [line.startswith((b"{", b"[")) for line in others]
    return first.endswith(b"]") and any(starts) and (starts[0] or _is_value(first))


def _json_form(start: bytes, first_lines: list[bytes]) -> Form:
    """Lines if the first line is a value by itself, or is broken and the next one starts another value."""
    first = first_lines[0].lstrip()[:1]
    text = start[:HEAD_BYTES].decode("utf-8", "replace").lstrip()
    is_wrapped = WRAPPER.match(text) is not None
    goes_on_alike = len(first_lines) > 1 and first_lines[1].lstrip().startswith(b"{")
    if is_wrapped and not (goes_on_alike and _is_value(first_lines[0])):
        return "json_array"
    if first == b"{" and not goes_on_alike and is_keyed(start.decode("utf-8", "replace")):
        return "json_members"
    a_line_is_a_value = len(first_lines) == 1 or _is_value(first_lines[0])
    next_starts_alike = len(first_lines) > 1 and first_lines[1].startswith(first)
    if first == b"{" and is_followed_in_its_line(text):
        return "json_values"
    if first == b"[":
        return "json_lines" if _is_list_in_a_line(start) else "json_array"
    return "json_lines" if a_line_is_a_value or next_starts_alike or first != b"{" else "json_values"


def _is_value(line: bytes) -> bool:
    return not isinstance(parse_line(line), Damage)


def _is_known_header(line: bytes) -> bool:
    return known_names(line, form_of_header(line).delimiter) > 1
