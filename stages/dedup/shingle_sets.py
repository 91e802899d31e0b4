"""Sets of shingles of the rows that can have a near-duplicate at all, and their exact likeness."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.word_runs import Booleans, Hashes, Ints, Runs, ranges, starts_of

SHINGLES_AT_ONCE = 4_000_000  # bounds the memory of one comparison
WORTH_ANOTHER_ROUND = 0.95  # a round that keeps more of the rows than this is the last
ROUNDING = 1e-9  # a share that is exactly the least one is enough
Floats = npt.NDArray[np.float64]


class ShingleSets(NamedTuple):
    """A set of shingles per row. Only shingles of two or more rows are listed: no other can be in an intersection."""

    rows: Ints  # which rows these are, rising
    ids: Ints  # dense ids of the listed shingles, row by row, rising within a row
    counts: Ints  # shingles listed per row
    sizes: Ints  # shingles per row, listed or not
    template_sizes: Ints  # how many of these are template, listed or not
    hashes: Hashes  # id -> hash
    is_template: Booleans  # id -> whether a large part of some source has it


def sets_of_likely_rows(parts: Sequence[Runs], templates: Hashes, least_similarity: float) -> ShingleSets:
    """The sets of every row that may be `least_similarity` like another.

    A row is left out only when too few of its shingles occur anywhere else for that likeness to be possible, and again
    when the rows it shared them with are left out, so no pair is lost.
    """
    chosen = _rows_that_share(parts, least_similarity)
    kept = np.concatenate(chosen)
    shingles = _joined([part.of_texts(keep) for part, keep in zip(parts, chosen, strict=True)])
    keep = np.zeros(len(shingles.counts), dtype=np.bool_)
    while keep.sum() < WORTH_ANOTHER_ROUND * len(keep):
        [keep] = _rows_that_share([shingles], least_similarity)
        kept[np.flatnonzero(kept)] = keep
        shingles = shingles.of_texts(keep)
    return _sets(np.flatnonzero(kept), shingles, templates)


def _rows_that_share(parts: Sequence[Runs], least_share: float) -> list[Booleans]:
    """Per part, the rows of which at least this share of shingles occurs twice or more.

    Repeats within a row count as shared, which keeps a row too many but never loses one.
    """
    shared = pl.concat([pl.Series(part.hashes) for part in parts], rechunk=False).is_duplicated().to_numpy()
    verdicts, done = [], 0
    for part in parts:
        among = shared[done : done + len(part.hashes)]
        done += len(part.hashes)
        sharing = np.bincount(part.owners[among], minlength=len(part.counts))
        verdicts.append((sharing >= least_share * part.counts - ROUNDING) & (part.counts > 0))
    return verdicts


def _joined(parts: Sequence[Runs]) -> Runs:
    return Runs(np.concatenate([p.hashes for p in parts]), np.concatenate([p.counts for p in parts]))


def _sets(rows: Ints, shingles: Runs, templates: Hashes) -> ShingleSets:
    vocabulary, ids = np.unique(shingles.hashes, return_inverse=True)
    is_template = np.isin(vocabulary, templates)
    base = max(len(vocabulary), 1)
    owners, ids = np.divmod(_without_repeats(np.sort(shingles.owners * base + ids)), base)
    shared = np.bincount(ids, minlength=len(vocabulary)) > 1
    keep = shared[ids]
    return ShingleSets(
        rows=rows,
        ids=(np.cumsum(shared) - 1)[ids[keep]],
        counts=np.bincount(owners[keep], minlength=len(rows)),
        sizes=np.bincount(owners, minlength=len(rows)),
        template_sizes=np.bincount(owners[is_template[ids]], minlength=len(rows)),
        hashes=vocabulary[shared],
        is_template=is_template[shared],
    )


def _without_repeats(rising: Ints) -> Ints:
    first: Booleans = np.append(True, rising[1:] != rising[:-1])[: len(rising)]
    return rising[first]


class Likeness:
    """Compares rows of `sets` by position. Answers are exact: Jaccard of sets of 64-bit hashes, 1 = the same."""

    def __init__(self, sets: ShingleSets) -> None:
        self._sets = sets
        self._starts = starts_of(sets.counts)
        self._base = max(len(sets.hashes), 1)
        self._members = np.repeat(np.arange(len(sets.rows)), sets.counts) * self._base + sets.ids  # sorted

    def compare(self, left: Ints, right: Ints) -> tuple[Floats, Floats]:
        """Jaccard of all shingles, and of those that are not template (1 where neither row has any)."""
        work = np.minimum(self._sets.counts[left], self._sets.counts[right])
        answers = [self._compare(left[part], right[part]) for part in slices_of(work, SHINGLES_AT_ONCE)]
        if not answers:
            return np.zeros(0), np.zeros(0)
        return np.concatenate([a for a, _ in answers]), np.concatenate([b for _, b in answers])

    def _compare(self, left: Ints, right: Ints) -> tuple[Floats, Floats]:
        sets = self._sets
        swap = sets.counts[left] > sets.counts[right]
        fewer, more = np.where(swap, right, left), np.where(swap, left, right)
        counts = sets.counts[fewer]
        ids = sets.ids[ranges(self._starts[fewer], counts)]
        wanted = np.repeat(more, counts) * self._base + ids
        at = np.searchsorted(self._members, wanted)
        found = self._members[np.minimum(at, len(self._members) - 1)] == wanted
        pairs = np.repeat(np.arange(len(left)), counts)[found]
        common = np.bincount(pairs, minlength=len(left))
        template = np.bincount(pairs[sets.is_template[ids[found]]], minlength=len(left))
        every = _jaccard(common, sets.sizes[left] + sets.sizes[right])
        own = sets.sizes - sets.template_sizes
        return every, _jaccard(common - template, own[left] + own[right])


def _jaccard(common: Ints, sizes: Ints) -> Floats:
    """|A and B| / |A or B| of sets whose sizes sum to `sizes`; 1 where both are empty."""
    union = sizes - common
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def slices_of(costs: Ints, limit: int) -> list[slice]:
    """Consecutive slices of about `limit` cost each, at least one item long."""
    cuts = np.flatnonzero(np.diff(np.cumsum(costs) // limit)) + 1
    edges = [0, *cuts.tolist(), len(costs)]
    return [slice(start, end) for start, end in pairwise(edges) if end > start]
