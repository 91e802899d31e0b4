"""Divides rows into kept and rejected; each rejected row names the first rule it broke and by how much."""

from typing import NamedTuple

import polars as pl

from stages.filter.rules import RULES
from stages.filter.stage import FilterParams


class Filtered(NamedTuple):
    kept: pl.DataFrame
    rejected: pl.DataFrame  # the columns of `rated`, then reason, value, threshold


def transform(rated: pl.DataFrame, *, params: FilterParams) -> Filtered:
    """Every row of `rated` in one of the two, whole, in the order it came."""
    judged = rated.with_columns(_verdict(params))
    return Filtered(
        kept=judged.filter(pl.col("reason").is_null()).select(rated.columns),
        rejected=judged.filter(pl.col("reason").is_not_null()),
    )


def _verdict(params: FilterParams) -> list[pl.Expr]:
    """reason, value and threshold of the first broken rule; null for a row that breaks none."""
    on = [(rule, threshold) for rule in RULES if (threshold := rule.threshold(params)) is not None]
    reasons = [pl.when(rule.broken(threshold)).then(pl.lit(rule.reason)) for rule, threshold in on]
    values = [pl.when(rule.broken(threshold)).then(rule.value) for rule, threshold in on]
    thresholds = [pl.when(rule.broken(threshold)).then(pl.lit(threshold)) for rule, threshold in on]
    return [
        pl.coalesce(*reasons, pl.lit(None, pl.String)).alias("reason"),
        pl.coalesce(*values, pl.lit(None, pl.Float64)).alias("value"),
        pl.coalesce(*thresholds, pl.lit(None, pl.Float64)).alias("threshold"),
    ]
