"""Parquet files -> their rows as records, a few at a time where they unpack to much."""

import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from record_files import faults, read, values
from stages.records import MAX_RECORD_BYTES, TEXT_CHARS, read_blocks
from stages.source_files import SourceFile

NESTED = [
    {"id": n, "conversations": [{"from": "human", "value": f"q{n}"}, {"from": "gpt", "value": "{a}]"}]}
    for n in range(8)
]


def test_parquet_rows_keep_their_nested_columns(tmp_path: Path) -> None:
    table = io.BytesIO()
    pl.DataFrame(NESTED).write_parquet(table)
    assert values(read(tmp_path, table.getvalue(), "data.bin")) == NESTED


def test_a_parquet_row_that_is_not_utf8_costs_itself_alone(tmp_path: Path) -> None:
    texts = pa.array([b"a", b"b\xff", b"c"]).view(pa.string())
    pq.write_table(pa.table({"text": texts}), tmp_path / "made.parquet")
    records = read(tmp_path, (tmp_path / "made.parquet").read_bytes())
    assert values(records) == [{"text": "a"}, {"text": "c"}]
    assert faults(records) == [(1, "invalid_utf8")]


def test_rows_that_unpack_to_much_come_a_few_at_a_time(tmp_path: Path) -> None:
    texts = [f"{number}" + "x" * (6 << 20) for number in range(7)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "made.parquet", row_group_size=2, compression="zstd")
    file = SourceFile("here", "made.parquet", tmp_path / "made.parquet", "")
    units = read_blocks(file, max_record_bytes=MAX_RECORD_BYTES, text_chars=TEXT_CHARS)
    assert [len(unit) for unit in units if isinstance(unit, list)] == [3, 3, 1]
