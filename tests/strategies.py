"""Hypothesis strategies made from schemas/*.yaml: any table that a dataset's schema allows."""

from functools import cache
from typing import Any

import polars as pl
from hypothesis import strategies as st

from rows import row_id, table
from stages.errors import DataError
from stages.schema import Column, Schema, check_table, load_schema

WORDS = ["river", "lamp", "the", "Ünïcode", "12", "x=1;", "答案", "😀", "a-b", "\n", "end.", "<b>", "I'm", "{}"]
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
TURNS = st.integers(1, 3)


@st.composite
def messages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation that ends with an answer, or a plain document."""
    if draw(st.integers(0, 9)) == 0:
        return [message("text", draw(TEXT))]
    system = [message("system", draw(TEXT))] if draw(st.booleans()) else []
    turns = [message(role, draw(TEXT)) for _ in range(draw(TURNS)) for role in ("user", "assistant")]
    return system + turns


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content, "reasoning_content": None, "tool_calls": None}


def values_of(column: Column) -> st.SearchStrategy[Any]:
    """Values of one column, nulls included where it may be null."""
    if column.name == "messages":
        return messages()
    if column.values:
        return st.sampled_from(column.values)
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        pl.String(): TEXT,
        pl.Boolean(): st.booleans(),
        pl.Float64(): st.floats(0, 1, allow_nan=False),
        pl.List(pl.String()): st.lists(TEXT, max_size=2),
        pl.List(pl.Float32()): st.lists(st.floats(0, 1, width=32), max_size=2),
        pl.List(pl.Boolean()): st.lists(st.booleans(), max_size=3),
    }
    chosen = by_type.get(column.dtype, st.integers(1, 20))
    return st.none() | chosen if column.nullable else chosen


@cache
def row_of(dataset: str) -> st.SearchStrategy[dict[str, Any]]:
    """Made once: to make a strategy takes longer than to draw from it."""
    return st.fixed_dictionaries({column.name: values_of(column) for column in load_schema(dataset).columns})


@st.composite
def tables(draw: st.DrawFn, dataset: str, max_rows: int = 8) -> pl.DataFrame:
    """A table that its schema allows, with row ids that look like ingest's."""
    schema = load_schema(dataset)
    rows = [dict(draw(row_of(dataset))) for _ in range(draw(st.integers(0, max_rows)))]
    for number, row in enumerate(rows):
        row["row_id"] = row_id(str(number))
    return valid_rows(table(dataset, rows), schema)


def valid_rows(drawn: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The rows that keep every check of the schema; mostly all do, which one look shows."""
    if is_valid(drawn, schema):
        return drawn
    kept = [row for row in drawn.iter_slices(1) if is_valid(row, schema)]
    return pl.concat(kept) if kept else drawn.clear()


def is_valid(rows: pl.DataFrame, schema: Schema) -> bool:
    try:
        check_table(rows, schema, "drawn")
    except DataError:
        return False
    return True
