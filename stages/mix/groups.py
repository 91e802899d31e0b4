"""Rows that must lie in one split: those of one near-duplicate group, those that ask the same, and what these link."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import DataError

SHOWN = 3
MOST_ASKING_LATER = 20  # rows; a later turn of more is a phrase, such as "Can you explain that in simpler words?"
Ints = npt.NDArray[np.int64]


def with_groups(rows: pl.DataFrame, prompts: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `group`: a name that rows share when they share a group_id, a prompt, or a row that does either.

    `prompts` are those of `prompts_of`. The name is the lowest of theirs, so it stays when rows come or go that do not
    link it with another group.
    """
    opening = pl.when(pl.col("opening") != "").then(pl.concat_str(pl.lit("opening "), "opening"))
    named = rows.with_columns(group=pl.coalesce("group_id", opening, "row_id")).with_columns(
        number=pl.col("group").rank("dense").cast(pl.Int64) - 1
    )
    asked = prompts.join(named.select("row_id", "number"), on="row_id")
    links = [_links(named, "group_id"), _links(asked, "prompt")]
    lowest = _lowest_linked(named["group"].n_unique(), links)
    names = named["group"].unique().sort()
    group = names.gather(lowest[named["number"].to_numpy()]).alias("group")
    return named.drop("number").with_columns(group)


def prompts_of(rows: pl.DataFrame) -> pl.DataFrame:
    """row_id and prompt: how each row opens, and the later turns of its user that are no phrase of many rows.

    `rows` has row_id, opening and later, a list; all in words.
    """
    opening = rows.select("row_id", prompt="opening", is_later=pl.lit(value=False))
    later = rows.select("row_id", prompt="later", is_later=pl.lit(value=True)).explode("prompt", empty_as_null=False)
    asked = pl.concat([opening, later]).filter(pl.col("prompt") != "").unique(maintain_order=True)
    is_phrase = pl.col("is_later") & (pl.col("is_later").sum().over("prompt") > MOST_ASKING_LATER)
    return asked.filter(~is_phrase).select("row_id", "prompt").unique(maintain_order=True)


def _links(named: pl.DataFrame, column: str) -> tuple[Ints, Ints]:
    """Each group's number and the lowest number of those that share a value of `column` with it."""
    shared = (
        named.filter(pl.col(column).is_not_null()).select("number", low=pl.col("number").min().over(column)).unique()
    )
    return shared["number"].to_numpy(), shared["low"].to_numpy()


def _lowest_linked(count: int, links: Sequence[tuple[Ints, Ints]]) -> Ints:
    """For each of `count` numbers the lowest that it is linked with, directly or through others."""
    left, right = (np.concatenate([link[side] for link in links]) for side in (0, 1))
    lowest = np.arange(count)
    while len(left):
        a, b = lowest[left], lowest[right]
        apart = a != b
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(lowest, np.maximum(a, b), np.minimum(a, b))
        while (lowest != lowest[lowest]).any():
            lowest = lowest[lowest]
    return lowest


def check_no_leak(rows: pl.DataFrame, prompts: pl.DataFrame) -> None:
    """Raises DataError where two rows of different splits share a near-duplicate group or a prompt.

    `rows` has row_id, group_id and split, `prompts` row_id and prompt.
    """
    asked = prompts.join(rows.select("row_id", "split"), on="row_id")
    for shared, column, named in ((rows, "group_id", "near-duplicate group"), (asked, "prompt", "prompt")):
        told = shared.filter(pl.col(column).is_not_null())
        parted = told.filter(pl.col("split").n_unique().over(column) > 1)
        if parted.height:
            first = ", ".join(parted["row_id"].unique().sort().head(SHOWN))
            raise DataError(
                f"mix: {parted[column].n_unique():,} of {told[column].n_unique():,} {named}s lie in more than one split "
                f"(rows {first}), so what is trained on would be measured on; this is a fault of stages/mix/splits.py"
            )
