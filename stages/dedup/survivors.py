"""Decides which rows stay: going from the best row down, a row goes when it matches one that stays already."""

from typing import NamedTuple, Self

import numpy as np

from stages.dedup.minhash import Buckets
from stages.dedup.shingle_sets import Floats, Likeness
from stages.word_runs import Booleans, Ints


class Matches(NamedTuple):
    """Pairs of positions that were compared and found alike."""

    removed: Ints  # goes ...
    survivor: Ints  # ... because it matches this one, which stays
    similarity: Floats  # Jaccard of all shingles
    left: Ints  # both stay, and belong to one group
    right: Ints

    @classmethod
    def none(cls) -> Self:
        """No pair is alike."""
        nobody = np.zeros(0, dtype=np.int64)
        return cls(nobody, nobody, np.zeros(0), nobody, nobody)


def match(buckets: Buckets, likeness: Likeness, min_similarity: float, group_similarity: float) -> Matches:
    """Who goes for whom, where a lower position is the better row.

    In each round the rows that come first in all of their buckets stay, and are compared with their bucket mates.
    Nothing is compared with a row that goes, so there are no chains, and a large bucket of duplicates costs one
    comparison a row.
    """
    rounds = []
    bucket, row = buckets
    while len(row):
        leads = np.append(True, bucket[1:] != bucket[:-1])
        stays = _first_everywhere(row, leads)
        left, right = _bucket_mates(bucket, row, leads, stays)
        every, own = likeness.compare(left, right)
        alike = np.minimum(every, own)
        related = alike >= min(min_similarity, group_similarity)
        rounds.append((left[related], right[related], every[related], alike[related]))
        goes = np.zeros(len(stays), dtype=np.bool_)
        goes[right[alike >= min_similarity]] = True
        bucket, row = _undecided(bucket, row, ~(stays | goes)[row])
    return _sorted_out(rounds, min_similarity, group_similarity)


def _first_everywhere(row: Ints, leads: Booleans) -> Booleans:
    """Per position, whether it has entries and leads each of its buckets."""
    entries, led = np.bincount(row), np.bincount(row[leads], minlength=row.max() + 1)
    first: Booleans = (entries > 0) & (entries == led)
    return first


def _bucket_mates(bucket: Ints, row: Ints, leads: Booleans, stays: Booleans) -> tuple[Ints, Ints]:
    """Each pair of a row that stays and another of its bucket, once."""
    leader = row[leads][np.cumsum(leads) - 1]
    paired = stays[leader] & ~leads
    base = int(row.max()) + 1
    return np.divmod(np.unique(leader[paired] * base + row[paired]), base)


def _undecided(bucket: Ints, row: Ints, keep: Booleans) -> tuple[Ints, Ints]:
    """The entries to keep, without buckets that are left with one: nothing remains to be compared there."""
    bucket, row = bucket[keep], row[keep]
    size = np.bincount(bucket)
    company = size[bucket] > 1
    return bucket[company], row[company]


def _sorted_out(
    rounds: list[tuple[Ints, Ints, Floats, Floats]], min_similarity: float, group_similarity: float
) -> Matches:
    if not rounds:
        return Matches.none()
    left, right, every, alike = (np.concatenate(column) for column in zip(*rounds, strict=True))
    duplicate = alike >= min_similarity
    removed, first = np.unique(right[duplicate], return_index=True)  # the first: found earliest, best row
    gone = np.isin(right, removed)
    group = ~gone & (alike >= group_similarity)
    survivors, similarity = left[duplicate][first], every[duplicate][first]
    return Matches(removed, survivors, similarity, left[group], right[group])
