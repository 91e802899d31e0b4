"""Rows of a Parquet file from outside, a small batch at a time, in bounded memory whatever the file unpacks to."""

import os
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from stages.raw_files.byte_stream import Damage

Found = tuple[int, object]

MAGIC = b"PAR1"
MAX_BATCH_ROWS = 512
BATCH_BYTES = 1 << 23  # of rows as they stand in the file's columns; as Python objects they take a few times that
MAX_UNPACKED_BYTES = 1 << 28  # more than the process holds before: for a page, or a batch of rows
FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError)


def parquet_rows(path: Path, max_record_bytes: int) -> Iterator[Found]:
    """(0, row as a dict) per row, nested columns as lists and dicts; the offset of a row is unknown.

    Damage in place of a row that is not UTF-8 or too long, and of a row group that does not fit into memory. Raises
    Damage where the file cannot be read on: `invalid_parquet`, `duplicate_key` where a column stands twice.
    """
    try:
        with open_file(path) as opened, pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20) as file:
            refuse_doubled(file.schema_arrow.names)
            for group in range(file.num_row_groups):
                yield from _group_rows(file, group, max_record_bytes)
    except FAULTS as error:
        raise Damage("invalid_parquet", str(error).splitlines()[0]) from error


def open_file(path: Path) -> pa.NativeFile:
    """A file for Arrow to read, whatever bytes its name is made of."""
    return pa.OSFile(os.fsencode(path))


def refuse_doubled(names: Sequence[str]) -> None:
    """Raises Damage where a column stands twice, of which a row would hold the last one."""
    if doubled := [name for name, count in Counter(names).items() if count > 1]:
        raise Damage("duplicate_key", f"column {doubled[0]!r} stands twice")


def _group_rows(file: pq.ParquetFile, group: int, max_record_bytes: int) -> Iterator[Found]:
    """The rows of one row group; one row at a time from where a batch of them does not fit."""
    facts = file.metadata.row_group(group)
    row_bytes = facts.total_byte_size // max(1, facts.num_rows)
    batch_rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES // max(1, row_bytes)))
    done = 0
    while done < facts.num_rows:
        try:
            for batch in _batches(file, group, batch_rows, done):
                for row in rows_of(batch, max_record_bytes):
                    yield 0, row
                done += batch.num_rows
            return
        except MemoryError:
            if batch_rows == 1:
                limit = f"{MAX_UNPACKED_BYTES >> 20} MiB"
                yield 0, Damage("row_group_too_large", f"row {done} of row group {group} of {facts.num_rows:,} rows "
                                f"unpacks to more than {limit}; the rows of the group from there on are lost")  # fmt: skip
                return
            batch_rows = 1


def _batches(file: pq.ParquetFile, group: int, batch_rows: int, skipped: int) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(batch_rows, row_groups=[group], columns=_read_columns(file), use_threads=False)
    while True:
        with bounded_memory():
            batch = next(batches, None)
        if batch is None:
            return
        dropped = min(skipped, batch.num_rows)
        skipped -= dropped
        if dropped < batch.num_rows:
            yield batch.slice(dropped)


def _read_columns(file: pq.ParquetFile) -> list[str] | None:
    """All but vectors, such as embeddings: no text, and Arrow cannot read those that lack a row's."""
    schema = file.schema_arrow
    left = [field.name for field in schema if not _is_vector(field.type)]
    return left if len(left) < len(schema) else None


def _is_vector(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Lets the process grow by no more than MAX_UNPACKED_BYTES; raises MemoryError instead.

    Only Arrow runs meanwhile, which survives an allocation that fails.
    """
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _data_bytes() + MAX_UNPACKED_BYTES
    hard = limits[1]
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def _data_bytes() -> int:
    """Private memory of this process, as the limit counts it."""
    with Path("/proc/self/statm").open(encoding="ascii") as statm:
        return int(statm.read().split()[5]) * resource.getpagesize()


def rows_of(batch: pa.RecordBatch, max_record_bytes: int) -> list[object]:
    """The rows as dicts; Damage in place of one that is not UTF-8 or too long."""
    if batch.nbytes > max_record_bytes:
        if batch.num_rows > 1:
            return [
                row for number in range(batch.num_rows) for row in rows_of(batch.slice(number, 1), max_record_bytes)
            ]
        return [Damage("record_too_long", f"more than {max_record_bytes:,} bytes")]
    maps: Literal["strict"] | None = "strict" if all(map(_has_only_named_maps, batch.schema.types)) else None
    try:
        columns = [_values(column, maps) for column in batch.columns]
        return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
    except (UnicodeDecodeError, KeyError) as error:
        if batch.num_rows == 1:
            return [_fault_of_row(error)]
        return [row for number in range(batch.num_rows) for row in rows_of(batch.slice(number, 1), max_record_bytes)]
    except (ValueError, OverflowError):  # a time that Python cannot hold: of nanoseconds, or after the year 9999
        plain = pa.schema([field.with_type(_without_times(field.type)) for field in batch.schema])
        if plain.equals(batch.schema):
            raise
        return rows_of(batch.cast(plain), max_record_bytes)


def _values(column: pa.Array, maps: Literal["strict"] | None) -> list[Any]:
    """What Python makes of a column. Texts, also those in lists of objects, go through Polars, which takes a fourth of
    Arrow's time; whether they are UTF-8 is looked at before, as Polars takes that for granted."""
    if _holds_only_texts(column.type):
        try:
            column.validate(full=True)
            return pl.Series(column).to_list()
        except pa.ArrowInvalid:
            pass  # told below by what cannot be decoded
    return list(column.to_pylist(maps_as_pydicts=maps))


def _holds_only_texts(kind: pa.DataType) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    if pa.types.is_struct(kind):
        names = {field.name for field in kind}
        return 0 < len(names) == kind.num_fields and all(_holds_only_texts(field.type) for field in kind)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return is_list and _holds_only_texts(kind.value_type)


def _fault_of_row(error: UnicodeDecodeError | KeyError) -> Damage:
    if isinstance(error, UnicodeDecodeError):
        return Damage("invalid_utf8", f"byte 0x{error.object[error.start]:02x} in the row")
    return Damage("duplicate_key", "a key stands twice in a map")


def _has_only_named_maps(kind: pa.DataType) -> bool:
    """Whether all keys of maps are texts, so that a map is an object; of other maps a row has lists of pairs."""
    if pa.types.is_map(kind):
        is_named = pa.types.is_string(kind.key_type) or pa.types.is_large_string(kind.key_type)
        return is_named and _has_only_named_maps(kind.item_type)
    inner = [kind.field(number).type for number in range(kind.num_fields)] if pa.types.is_nested(kind) else []
    return all(map(_has_only_named_maps, inner))


def _without_times(kind: pa.DataType) -> pa.DataType:
    """The type with times and dates as the numbers that they are stored as."""
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_times(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _without_times(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        of_all = pa.large_list if pa.types.is_large_list(kind) else pa.list_
        return of_all(kind.value_field.with_type(_without_times(kind.value_type)))
    return kind
