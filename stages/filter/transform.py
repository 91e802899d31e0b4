"""Divides rows into kept and rejected; each rejected row names the first rule it broke and by how much."""

from typing import NamedTuple

import polars as pl

from stages.filter.masking import masked
from stages.filter.stage import FilterParams
from stages.measures.filter_rules import verdict


class Filtered(NamedTuple):
    kept: pl.DataFrame
    rejected: pl.DataFrame  # the columns of `rated`, then reason, value, threshold


def transform(rated: pl.DataFrame, *, params: FilterParams) -> Filtered:
    """Every row of `rated` in one of the two, whole, in the order it came; kept rows with their private data masked."""
    judged = rated.with_columns(verdict(params))
    return Filtered(
        kept=masked(judged.filter(pl.col("reason").is_null()).select(rated.columns), params),
        rejected=judged.filter(pl.col("reason").is_not_null()),
    )
