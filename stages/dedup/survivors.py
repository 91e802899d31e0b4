"""Decides which rows stay: going from the best row down, a row goes when it matches one that stays already."""

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from stages.dedup.minhash import BandKeys
from stages.dedup.similarity import Floats
from stages.dedup.sorting import distinct, rising, starts_group
from stages.word_bytes import Booleans, Hashes, Ints

Compare = Callable[[Ints, Ints], tuple[Floats, Floats]]  # of pairs: similarity, and likeness, which decides
LOW = np.uint64(0xFFFFFFFF)
HIGH_BITS = np.uint64(32)


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


class Thresholds(NamedTuple):
    """From which likeness on a row goes, and from which rows that stay belong to one group."""

    same: float
    group: float


def match(keys: BandKeys, compare: Compare, thresholds: Thresholds) -> Matches:
    """Who goes for whom, where a lower position is the better row and `keys` has a column for each.

    In each round the rows that are the first with each of their keys stay, and are compared with those that share one.
    Nothing is compared with a row that goes, so there are no chains, and many copies of a row cost one comparison each.
    What comes out for a row depends on no row that shares none of its keys, directly or through others.
    """
    rounds = []
    undecided = np.arange(keys.shape[1])
    while len(undecided):
        stays, left, right = _pairs(keys[:, undecided])
        left, right = undecided[left], undecided[right]
        every, alike = compare(left, right)
        related = alike >= min(thresholds)
        rounds.append((left[related], right[related], every[related], alike[related]))
        decided = np.zeros(keys.shape[1], dtype=np.bool_)
        decided[undecided[stays]] = True
        decided[right[alike >= thresholds.same]] = True
        undecided = undecided[~decided[undecided]]
    return _sorted_out(rounds, thresholds)


def _pairs(keys: BandKeys) -> tuple[Booleans, Ints, Ints]:
    """Which rows are first with all of their keys, and each pair of such a row and another that shares a key, once."""
    leaders = np.stack([_leaders(band) for band in keys])
    itself = np.arange(keys.shape[1], dtype=np.uint32)
    stays: Booleans = (leaders == itself).all(axis=0)
    found: list[Hashes] = [np.zeros(0, dtype=np.uint64)]
    before = itself
    for leader in leaders:  # most pairs share key after key
        new = stays[leader] & (leader != itself) & (leader != before)
        found.append((leader[new].astype(np.uint64) << HIGH_BITS) | itself[new])
        before = leader
    pairs = distinct(np.concatenate(found))
    return stays, (pairs >> HIGH_BITS).astype(np.int64), (pairs & LOW).astype(np.int64)


def _leaders(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """For each row the first one with the same key."""
    by_key = rising((keys.astype(np.uint64) << HIGH_BITS) | np.arange(len(keys), dtype=np.uint64))
    row = (by_key & LOW).astype(np.uint32)
    first = starts_group(by_key >> HIGH_BITS)
    leaders = np.empty(len(keys), dtype=np.uint32)
    leaders[row] = row[first][np.cumsum(first) - 1]
    return leaders


def _sorted_out(rounds: list[tuple[Ints, Ints, Floats, Floats]], thresholds: Thresholds) -> Matches:
    if not rounds:
        return Matches.none()
    left, right, every, alike = (np.concatenate(column) for column in zip(*rounds, strict=True))
    duplicate = alike >= thresholds.same
    removed, first = np.unique(right[duplicate], return_index=True)  # the first: found earliest, best row
    gone = np.isin(right, removed)
    group = ~gone & (alike >= thresholds.group)
    survivors, similarity = left[duplicate][first], every[duplicate][first]
    return Matches(removed, survivors, similarity, left[group], right[group])
