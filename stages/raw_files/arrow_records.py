"""Rows of an Arrow file from outside (IPC streams as Hugging Face's `save_to_disk` writes them, IPC files and Feather)."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stages.raw_files.byte_stream import Damage
from stages.raw_files.parquet_records import (
    FAULTS,
    MAX_UNPACKED_BYTES,
    Found,
    bounded_memory,
    open_file,
    refuse_doubled,
    rows_of,
)

FILE_MAGIC, STREAM_MAGIC = b"ARROW1", b"\xff\xff\xff\xff"  # a stream starts with the mark before its first message
ROWS_TOGETHER = 512


def arrow_rows(path: Path, max_record_bytes: int) -> Iterator[Found]:
    """(0, row as a dict) per row, as `parquet_rows` gives them; a batch of rows is unpacked at once.

    Raises Damage where the file cannot be read on: `invalid_arrow`, `duplicate_key`, `batch_too_large`.
    """
    try:
        with open_file(path) as file:
            batches = _batches(file)
            while True:
                with bounded_memory():
                    batch = next(batches, None)
                if batch is None:
                    return
                refuse_doubled(batch.schema.names)
                for first in range(0, batch.num_rows, ROWS_TOGETHER):
                    for row in rows_of(batch.slice(first, ROWS_TOGETHER), max_record_bytes):
                        yield 0, row
    except MemoryError:
        limit = f"{MAX_UNPACKED_BYTES >> 20} MiB"
        raise Damage("batch_too_large", f"a batch of rows unpacks to more than {limit}") from None
    except FAULTS as error:
        raise Damage("invalid_arrow", str(error).splitlines()[0]) from error


def _batches(file: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    is_stream = file.read(len(STREAM_MAGIC)) == STREAM_MAGIC
    file.seek(0)
    if is_stream:
        yield from pa.ipc.open_stream(file)
        return
    reader = pa.ipc.open_file(file)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)
