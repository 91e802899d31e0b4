"""Rows of a Parquet file from outside, a small batch at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.byte_stream import Damage

Found = tuple[int, object]

MAGIC = b"PAR1"
BATCH_ROWS = 1024  # bounds the memory of rows held as Python objects


def parquet_rows(path: Path) -> Iterator[Found]:
    """(0, row as a dict) per row, nested columns as lists and dicts; the offset of a row is unknown.

    Raises Damage `invalid_parquet` where the file cannot be read on.
    """
    try:
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                for row in batch.to_pylist():
                    yield 0, row
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Damage("invalid_parquet", str(error).splitlines()[0]) from error
