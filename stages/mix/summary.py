"""What came of each source and task: rows asked for and taken, repeats, epochs, and share of the text trained on.

And what the choice of select_rows went by.
"""

from collections.abc import Mapping

import polars as pl

from stages.measures.selector_honesty import Honesty
from stages.schema import load_schema

HONESTY = ("spearman", "length_auc", "random_overlap", "expected_overlap")


def summarise(
    rows: pl.DataFrame, requested: Mapping[tuple[str, str], float], choices: Mapping[str, Honesty]
) -> pl.DataFrame:
    """The dataset `mix_summary`, from row_id, source, task, chars, split (null where left out) and repeats.

    `requested` has the share that was asked for by part and name, `choices` what a choice of rows went by, by its name.
    """
    told = [_of_part(rows, part) for part in ("source", "task")]
    told += [_of_choice(rows, name, choice) for name, choice in choices.items()]
    asked = pl.DataFrame(
        [(part, name, share) for (part, name), share in requested.items()],
        schema={"part": pl.String, "name": pl.String, "requested_share": pl.Float64},
        orient="row",
    )
    schema = load_schema("mix_summary")
    return (
        pl.concat(told)
        .join(asked, on=["part", "name"], how="left")
        .select(pl.col(name).cast(dtype) for name, dtype in schema.dtypes.items())
        .sort("part", "name")
    )


def _of_part(rows: pl.DataFrame, part: str) -> pl.DataFrame:
    split, repeats = pl.col("split"), pl.col("repeats")
    seen = repeats.filter(split == "train").sum()
    chars = (pl.col("chars") * repeats).filter(split == "train").sum()
    counted = rows.group_by(name=pl.col(part).fill_null("")).agg(
        rows_available=pl.len(),
        rows_left_out=split.is_null().sum(),
        rows_validation=(split == "validation").sum(),
        rows_test=(split == "test").sum(),
        rows_train=(split == "train").sum(),
        rows_seen=seen,
        chars_seen=chars,
        rows_for_training=(split.is_null() | (split == "train")).sum(),
    )
    return counted.with_columns(
        part=pl.lit(part),
        effective_epochs=_share_of("rows_seen", "rows_for_training"),
        share_of_rows=_share_of("rows_seen"),
        share_of_chars=_share_of("chars_seen"),
        **{field: pl.lit(None, pl.Float64) for field in HONESTY},
    )


def _of_choice(rows: pl.DataFrame, name: str, choice: Honesty) -> pl.DataFrame:
    """A line about all rows, with what the choice among those for training went by."""
    every = _of_part(rows.with_columns(choice=pl.lit(name)), "choice")
    return every.with_columns(pl.lit(choice.facts()[field], pl.Float64).alias(field) for field in HONESTY)


def _share_of(name: str, whole: str | None = None) -> pl.Expr:
    every = pl.col(whole) if whole else pl.col(name).sum()
    return pl.when(every > 0).then(pl.col(name) / every).otherwise(0.0)
