"""Rows of a Parquet file from outside, a small batch at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.byte_stream import Damage

Found = tuple[int, object]

MAGIC = b"PAR1"
BATCH_ROWS = 512  # bounds the memory of rows held as Python objects


def parquet_rows(path: Path) -> Iterator[Found]:
    """(0, row as a dict) per row, Damage for one that is not UTF-8, nested columns as lists and dicts; the offset of a row is unknown.

    Raises Damage `invalid_parquet` where the file cannot be read on.
    """
    try:
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                for row in _rows(batch):
                    yield 0, row
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Damage("invalid_parquet", str(error).splitlines()[0]) from error


def _rows(batch: pa.RecordBatch) -> list[object]:
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [Damage("invalid_utf8", f"byte 0x{error.object[error.start]:02x} in the row")]
        return [row for number in range(batch.num_rows) for row in _rows(batch.slice(number, 1))]
