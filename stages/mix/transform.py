"""Chooses the rows of the mixture, their split and how often they are seen."""

from typing import NamedTuple

import polars as pl

from stages.conversation_text import normalised, opening_text
from stages.errors import ConfigError
from stages.mix.draws import draws
from stages.mix.splits import split_groups
from stages.mix.stage import MixParams


class Mixed(NamedTuple):
    """Rows to train and evaluate on, and rows that a cap left out."""

    mixture: pl.LazyFrame
    left_out: pl.LazyFrame


def transform(clean: pl.LazyFrame, *, params: MixParams) -> Mixed:
    """`mixture` with split and repeats, and `left_out` with the cap that left a row out.

    Sources count by their size up to `max_rows_per_source` (examples-proportional mixing with a cap, Raffel et al.
    2020, 3.5.2). Which rows a cap takes hangs on each row's id and the seed. Rows without a group_id are grouped by
    their opening. Raises ConfigError where `repeats` names a source that is not there.
    """
    rows = clean.select("row_id", "source", "group_id", opening=normalised(opening_text()), is_document=_is_document())
    chosen = _capped(rows.with_columns(group=_group()).collect(), params)
    _check_repeats(chosen["source"].unique().to_list(), params)
    taken = chosen.filter(pl.col("reason").is_null())
    repeats = pl.col("source").replace_strict(params.repeats, default=1, return_dtype=pl.Int32)
    splits = taken.join(split_groups(taken, params), on="group").select(
        "row_id", "split", repeats=pl.when(pl.col("split") == "train").then(repeats).otherwise(pl.lit(1, pl.Int32))
    )
    left_out = chosen.filter(pl.col("reason").is_not_null()).select("row_id", "reason")
    return Mixed(
        mixture=clean.join(splits.lazy(), on="row_id", how="inner"),
        left_out=clean.join(left_out.lazy(), on="row_id", how="inner"),
    )


def _is_document() -> pl.Expr:
    return pl.col("messages").list.last().struct.field("role") == "text"


def _group() -> pl.Expr:
    """Rows that must not be parted, by name; a row without an opening is parted from none."""
    opening = pl.when(pl.col("opening") != "").then(pl.concat_str(pl.lit("opening "), "opening"))
    return pl.coalesce("group_id", opening, "row_id")


def _capped(rows: pl.DataFrame, params: MixParams) -> pl.DataFrame:
    """`rows` with `reason`: the cap that leaves a row out, null for rows taken."""
    drawn = rows.with_columns(draw=draws(rows["row_id"], "cap", params.seed)).sort("draw", "row_id")
    place_in_source = pl.int_range(pl.len()).over("source")
    over_source = (
        pl.lit(value=False) if params.max_rows_per_source is None else place_in_source >= params.max_rows_per_source
    )
    marked = drawn.with_columns(over_source=over_source)
    place = (~pl.col("over_source")).cum_sum()
    over_total = pl.lit(value=False) if params.max_rows is None else place > params.max_rows
    return marked.with_columns(
        reason=pl.when("over_source").then(pl.lit("over_source_cap")).when(over_total).then(pl.lit("over_total_cap"))
    )


def _check_repeats(sources: list[str], params: MixParams) -> None:
    if unknown := sorted(set(params.repeats) - set(sources)):
        raise ConfigError(
            f"mix: repeats names {', '.join(unknown)}, and no row is from there; the sources are "
            f"{', '.join(sorted(sources)) or 'none: there are no rows'}; correct the names in the profile"
        )
