"""Finds template: shingles in so many rows of one source that sharing them says nothing about likeness."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from stages.word_runs import Hashes, Ints, Runs

LEAST_ROWS = 50  # in a small source a few near-duplicates are already a large part
SHINGLES_PER_BUCKET = 4  # a count is split among few shingles, so few come through to the exact count


def template_shingles(parts: Sequence[Runs], sources: pl.Series, max_row_share: float) -> Hashes:
    """The shingles in more than `max_row_share` of the rows of some source, and in more than LEAST_ROWS of them.

    `sources` names the source of every row of `parts`.
    """
    source = sources.rank("dense").to_numpy().astype(np.int64) - 1
    least = np.maximum(np.bincount(source) * max_row_share, LEAST_ROWS)
    frequent = _frequent(parts, int(least.min()))
    rows_with = frequent.with_columns(source=source[frequent["row"].to_numpy()]).unique()
    rows_in_source = rows_with.group_by("source", "shingle").len()
    over = rows_in_source["len"].to_numpy() > least[rows_in_source["source"].to_numpy()]
    return np.unique(rows_in_source["shingle"].to_numpy()[over])


def _frequent(parts: Sequence[Runs], least: int) -> pl.DataFrame:
    """Columns shingle and row, of at least all shingles that occur `least` times.

    Counts hash buckets first, which can only overstate, so that the exact count sees few shingles.
    """
    total = sum(len(part.hashes) for part in parts)
    shift = np.uint64(64 - max(16, int(total / SHINGLES_PER_BUCKET).bit_length()))
    buckets = [(part.hashes >> shift).astype(np.int64) for part in parts]
    counts = sum((np.bincount(b, minlength=1 << (64 - int(shift))) for b in buckets), start=np.zeros(1, dtype=np.int64))
    first_row: Ints = np.cumsum([0, *(len(part.counts) for part in parts)])
    tables = []
    for part, bucket, start in zip(parts, buckets, first_row, strict=False):
        chosen = counts[bucket] >= least
        tables.append(pl.DataFrame({"shingle": part.hashes[chosen], "row": part.owners[chosen] + start}))
    return pl.concat(tables)
