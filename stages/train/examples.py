"""The examples as flat arrays, and what would make training on them wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import DataError

NAMED = 5  # rows named in a message


@dataclass(frozen=True)
class Examples:
    """Token ids end to end: example i is `input_ids[starts[i]:starts[i + 1]]`.

    `is_target` is true where a token is to be predicted from those before it in its example, so never at position 0.
    """

    row_ids: Sequence[str]
    starts: npt.NDArray[np.int64]  # one more than examples
    input_ids: npt.NDArray[np.int32]
    is_target: npt.NDArray[np.bool_]
    repeats: npt.NDArray[np.int64]  # times per epoch
    weights: npt.NDArray[np.float64]  # what each of its supervised tokens counts in the mean, above 0

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.starts)

    def named(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """The row ids at those positions, for a message: the first few, and how many there are."""
        ids = list(dict.fromkeys(self.row_ids[position] for position in positions))
        return f"{', '.join(ids[:NAMED])}{', …' if len(ids) > NAMED else ''} ({len(ids):,} rows)"


def read_examples(folder: Path, objective: str, split: str) -> Examples:
    """The examples of one split that have something to learn, in key order; may be none. Weight 0 is nothing to learn."""
    parts = sorted(folder.glob("*.parquet"))
    rows = pl.scan_parquet(parts, glob=False).filter(pl.col("split") == split).sort("row_id", "turn").collect()
    mask = pl.col("loss_mask") if objective == "sft" else pl.col("input_ids").list.eval(pl.lit(1, pl.Int8))
    rows = rows.with_columns(loss_mask=mask, weight=pl.col("weight") if "weight" in rows.columns else pl.lit(1.0))
    odd = rows.filter(~pl.col("weight").is_between(0, float("inf"), closed="left"))["row_id"].unique(
        maintain_order=True
    )
    if len(odd):
        raise DataError(
            f"examples: the weight of {len(odd):,} rows is negative or no number ({', '.join(odd[:NAMED])}); "
            f"correct the column weight, where 1 counts once and 0 not at all"
        )
    return from_table(rows.filter(pl.col("loss_mask").list.slice(1).list.sum() > 0, pl.col("weight") > 0))


def from_table(rows: pl.DataFrame) -> Examples:
    """The rows as arrays; each has at least one token, and weight 1 where no column says otherwise."""
    starts = np.concatenate([[0], rows["input_ids"].list.len().cast(pl.Int64).cum_sum().to_numpy()])
    is_target = rows["loss_mask"].explode().to_numpy() == 1
    is_target[starts[:-1]] = False
    input_ids = rows["input_ids"].explode().to_numpy()
    weights = rows["weight"].to_numpy() if "weight" in rows.columns else np.ones(rows.height)
    repeats = rows["repeats"].cast(pl.Int64).to_numpy()
    return Examples(rows["row_id"].to_list(), starts, input_ids, is_target, repeats, weights)


def refuse_unfit(examples: Examples, *, tokens: int, max_positions: int | None) -> None:
    """Raises DataError for token ids that the model does not have, and for examples longer than its positions."""
    starts = examples.starts[:-1]
    unknown = (examples.input_ids < 0) | (examples.input_ids >= tokens)
    if rows := np.flatnonzero(np.logical_or.reduceat(unknown, starts)).tolist():
        raise DataError(
            f"examples: token id {examples.input_ids[unknown][0]} and others are beyond the {tokens:,} tokens of the model, "
            f"in {examples.named(rows)}; tokenize with the tokenizer of the base, or give train the one that was used (--input tokenizer=<folder>)"
        )
    too_long = np.flatnonzero(examples.lengths > max_positions).tolist() if max_positions else []
    if too_long:
        raise DataError(
            f"examples: the longest has {examples.lengths.max():,} tokens and the model {max_positions:,} positions, "
            f"too few for {examples.named(too_long)}; tokenize with max_tokens={max_positions}"
        )


def closing_ids(examples: Examples) -> list[int]:
    """The token ids that end the supervised part of an example, the most frequent first."""
    targets = np.flatnonzero(examples.is_target)
    last = targets[np.searchsorted(targets, examples.starts[1:]) - 1]
    ids, counts = np.unique(examples.input_ids[last], return_counts=True)
    return [int(ids[position]) for position in np.lexsort((ids, -counts))]
