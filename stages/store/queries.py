"""The given tables, read lazily: only aggregates and a few rows ever come into memory."""

from collections.abc import Mapping

import polars as pl

Tables = Mapping[str, pl.LazyFrame]


def fetch(table: pl.LazyFrame) -> pl.DataFrame:
    """The result of a query that is small; what it reads on the way may be large and passes through in chunks."""
    return table.collect(engine="streaming")


def count_rows(table: pl.LazyFrame) -> int:
    return int(fetch(table.select(pl.len())).item())


def count_by(table: pl.LazyFrame, column: str) -> dict[str, int]:
    """Rows per value of `column`, most frequent first, then by name."""
    counted = fetch(table.group_by(column).agg(rows=pl.len()))
    return dict(counted.sort(["rows", column], descending=[True, False]).rows())
