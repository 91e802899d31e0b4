"""Puts the ratings of models beside each row; the rows themselves pass through as they are."""

from pathlib import Path
from typing import Any

import polars as pl

from stages.contract import Workbench
from stages.rate.stage import RateParams
from stages.schema import load_schema


def run(
    scored: Path,
    *,
    base: Path | None = None,
    rated: Path,
    params: RateParams,
    workbench: Workbench,
) -> dict[str, Any]:
    """Writes the rows of `scored` with a column per rating."""
    schema = load_schema("rated")
    rows = 0
    for part in sorted(scored.glob("part-*.parquet")):
        table = pl.read_parquet(part)
        missing = [column for column in schema.columns if column.name not in table.columns]
        table = table.with_columns(pl.lit(None, dtype=column.dtype).alias(column.name) for column in missing)
        table.select(*schema.dtypes).write_parquet(rated / part.name, compression="lz4")
        rows += table.height
    workbench.progress(rows, rows, "rows")
    return {}
