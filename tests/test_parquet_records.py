"""Parquet files -> their rows as records, a few at a time where they unpack to much."""

import gzip
import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from record_files import faults, read, values
from stages.raw_files.parquet_records import _values
from stages.raw_files.records import MAX_RECORD_BYTES, TEXT_CHARS, read_blocks
from stages.raw_files.source_files import SourceFile

NESTED = [
    {"id": n, "conversations": [{"from": "human", "value": f"q{n}"}, {"from": "gpt", "value": "{a}]"}]}
    for n in range(8)
]


def test_parquet_rows_keep_their_nested_columns(tmp_path: Path) -> None:
    table = io.BytesIO()
    pl.DataFrame(NESTED).write_parquet(table)
    assert values(read(tmp_path, table.getvalue(), "data.bin")) == NESTED


def test_vectors_beside_texts_are_left_out_as_arrow_cannot_read_those_that_lack_a_row_s(tmp_path: Path) -> None:
    table = io.BytesIO()
    vectors = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"text": ["a", "b"], "embedding": vectors}), table)
    assert values(read(tmp_path, table.getvalue(), "data.parquet")) == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_arrow_files_hold_the_same_rows_and_what_is_cut_off_costs_what_it_hits(new: Any, tmp_path: Path) -> None:
    written = pa.BufferOutputStream()
    table = pa.Table.from_pylist(NESTED)
    with new(written, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    content = written.getvalue().to_pybytes()
    assert values(read(tmp_path, content, "data-00000-of-00001.arrow")) == NESTED
    cut = read(tmp_path, content[: len(content) * 2 // 3])
    assert faults(cut) == [(None, "invalid_arrow")]
    assert values(cut) == NESTED[: len(values(cut))]
    assert faults(read(tmp_path, gzip.compress(content, mtime=0))) == [(None, "unsupported_format")]


TEXTS = st.none() | st.sampled_from(["", "q", "é😀"])
TURNS = st.none() | st.fixed_dictionaries({"role": TEXTS, "content": TEXTS})
ROWS = st.fixed_dictionaries(
    {"text": TEXTS, "messages": st.none() | st.lists(TURNS, max_size=3), "weight": st.none() | st.floats(allow_nan=False), "tags": st.none() | st.lists(TEXTS)}
)  # fmt: skip
TYPES = pa.schema(
    {"text": pa.string(), "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.large_string()})), "weight": pa.float64(), "tags": pa.large_list(pa.string())}
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=5), skipped=st.integers(0, 2))
def test_columns_of_texts_hold_what_arrow_says(rows: list[dict[str, Any]], skipped: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, TYPES).slice(skipped)
    made = {name: _values(column, None) for name, column in zip(TYPES.names, batch.columns, strict=True)}
    assert made == {name: [row[name] for row in rows[skipped:]] for name in TYPES.names}


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_parquet_row_that_is_not_utf8_costs_itself_alone(is_nested: bool, tmp_path: Path) -> None:
    texts = pa.array([b"a", b"b\xff", b"c"]).view(pa.string())
    turns = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), pa.StructArray.from_arrays([texts], ["said"]))
    pq.write_table(pa.table({"text": turns if is_nested else texts}), tmp_path / "made.parquet")
    records = read(tmp_path, (tmp_path / "made.parquet").read_bytes())
    assert values(records) == [{"text": [{"said": text}] if is_nested else text} for text in "ac"]
    assert faults(records) == [(1, "invalid_utf8")]


def test_rows_that_unpack_to_much_come_a_few_at_a_time(tmp_path: Path) -> None:
    texts = [f"{number}" + "x" * (6 << 20) for number in range(7)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "made.parquet", row_group_size=2, compression="zstd")
    file = SourceFile("here", "made.parquet", tmp_path / "made.parquet", "")
    units = read_blocks(file, max_record_bytes=MAX_RECORD_BYTES, text_chars=TEXT_CHARS)
    assert [len(unit) for unit in units if isinstance(unit, list)] == [3, 3, 1]


def test_times_that_python_cannot_hold_cost_no_row(tmp_path: Path) -> None:
    late = pa.array([1, 2**62], pa.timestamp("us"))
    of_turns = pa.array([[{"said": 1}], [{"said": 3}]], pa.list_(pa.struct([("said", pa.timestamp("ns"))])))
    days = pa.array([0, 2**31 - 1], pa.date32())
    table = pa.table({"text": ["a", "b"], "late": late, "turns": of_turns, "day": days})
    pq.write_table(table, tmp_path / "made.parquet", version="2.6")
    records = read(tmp_path, (tmp_path / "made.parquet").read_bytes())
    assert faults(records) == []
    assert values(records)[1] == {"text": "b", "late": 2**62, "turns": [{"said": 3}], "day": 2**31 - 1}


def test_a_row_at_fault_beside_times_that_python_cannot_hold_costs_itself_alone(tmp_path: Path) -> None:
    named = pa.array([[("a", "b")], [("a", "b"), ("a", "c")]], pa.map_(pa.string(), pa.string()))
    table = pa.table({"late": pa.array([2**62, 2**62], pa.timestamp("us")), "named": named})
    pq.write_table(table, tmp_path / "made.parquet", version="2.6")
    records = read(tmp_path, (tmp_path / "made.parquet").read_bytes())
    assert values(records) == [{"late": 2**62, "named": {"a": "b"}}]
    assert faults(records) == [(1, "duplicate_key")]


def test_maps_are_objects_where_their_keys_are_texts(tmp_path: Path) -> None:
    turns = pa.list_(pa.map_(pa.string(), pa.string()))
    said = [[("role", "user"), ("content", "q")], [("role", "assistant"), ("content", "a")]]
    doubled = [[("role", "user"), ("role", "assistant")]]
    pq.write_table(pa.table({"messages": pa.array([said, doubled], turns)}), tmp_path / "made.parquet")
    records = read(tmp_path, (tmp_path / "made.parquet").read_bytes())
    assert values(records) == [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    assert faults(records) == [(1, "duplicate_key")]
    numbered = pa.table({"text": ["a"], "ranks": pa.array([[(1, "x")]], pa.map_(pa.int64(), pa.string()))})
    pq.write_table(numbered, tmp_path / "made.parquet")
    assert values(read(tmp_path, (tmp_path / "made.parquet").read_bytes())) == [{"text": "a", "ranks": [(1, "x")]}]


def test_a_column_that_stands_twice_is_no_guess(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["q"]), pa.array(["r"]), pa.array(["a"])], ["prompt", "prompt", "response"])
    pq.write_table(table, tmp_path / "made.parquet")
    assert faults(read(tmp_path, (tmp_path / "made.parquet").read_bytes())) == [(None, "duplicate_key")]
