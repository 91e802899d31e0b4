"""The mean loss of sequences by slice, with its interval."""

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.measures.intervals import Estimate, mean_loss

ALL = "all"


def supervised_tokens(sequences: pl.DataFrame) -> pl.Series:
    """Tokens of each sequence that count: those with a 1 in the mask that have a token before them."""
    return sequences.select(pl.col("loss_mask").list.slice(1).list.sum().cast(pl.Float64)).to_series()


def estimates_by_slice(
    sequences: pl.DataFrame, sums: npt.NDArray[np.float64], *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Mean loss per token of all sequences and of those of each `source`; sequences of one `row_id` are one item."""
    measured = sequences.select("row_id", "source").with_columns(
        loss=pl.Series(sums), tokens=supervised_tokens(sequences)
    )
    items = measured.group_by("source", "row_id").agg(pl.sum("loss", "tokens")).sort("source", "row_id")
    slices = {ALL: items} | {
        f"source {ALL}" if name == ALL else name: part
        for (name,), part in items.partition_by("source", as_dict=True).items()
    }
    return {
        name: mean_loss(part["loss"].to_numpy(), part["tokens"].to_numpy(), resamples=resamples, seed=seed)
        for name, part in slices.items()
    }
