"""Divides groups of rows between train, validation and test."""

import polars as pl

from stages.mix.draws import draws
from stages.mix.stage import MixParams

LEAST_GROUPS = 3  # with fewer there is none for each of the splits
MAX_HELD_OUT_ROWS = 20  # a larger group, such as one prompt with many answers, would be most of what is measured


def split_groups(rows: pl.DataFrame, params: MixParams) -> pl.DataFrame:
    """Columns group and split, from rows with group and is_document.

    A group's split follows from its name and the seed, so new rows leave the split of the others as it was. Documents
    are never in test, as nothing can be asked of them, and a group of more than MAX_HELD_OUT_ROWS rows is in train.
    Where chance gives test or validation nothing, the group that came nearest goes there.
    """
    groups = rows.group_by("group").agg(rows=pl.len(), has_document=pl.col("is_document").any()).sort("group")
    drawn = groups.with_columns(draw=draws(groups["group"], "split", params.seed) / 2**64)
    test_end, validation_end = params.test_share, params.test_share + params.validation_share
    small = pl.col("rows") <= MAX_HELD_OUT_ROWS
    test = _drawn_below(test_end, drawn.filter(small & ~pl.col("has_document")), enough=drawn.height >= LEAST_GROUPS)
    rest = drawn.filter(small, pl.col("draw") >= test_end, ~pl.col("group").is_in(test.implode()))
    validation = _drawn_below(validation_end, rest, enough=drawn.height >= LEAST_GROUPS and params.validation_share > 0)
    return drawn.select(
        "group",
        split=pl.when(pl.col("group").is_in(test.implode()))
        .then(pl.lit("test"))
        .when(pl.col("group").is_in(validation.implode()))
        .then(pl.lit("validation"))
        .otherwise(pl.lit("train")),
    )


def _drawn_below(end: float, groups: pl.DataFrame, *, enough: bool) -> pl.Series:
    """The groups with a draw below `end`; where there is none and `enough` to choose from, the lowest."""
    chosen = groups.filter(pl.col("draw") < end)
    if chosen.is_empty() and end > 0 and enough:
        chosen = groups.sort("draw", "group").head(1)
    return chosen["group"]
