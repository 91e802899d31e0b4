"""Decides which rows stay: going from the best row down, a row goes when it matches one that stays already."""

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from stages.dedup.minhash import BandKeys
from stages.dedup.similarity import Floats
from stages.dedup.sorting import distinct, rising, starts_group
from stages.dedup.stage import DedupParams
from stages.word_bytes import Booleans, Hashes, Ints
from stages.word_runs import ranges

Compare = Callable[[Ints, Ints], tuple[Floats, Floats]]  # of pairs: similarity, and likeness, which decides
LOW = np.uint64(0xFFFFFFFF)
HIGH_BITS = np.uint64(32)


class Matches(NamedTuple):
    """Pairs of positions that were compared and found alike."""

    removed: Ints  # goes ...
    survivor: Ints  # ... because it matches this one, the best that stays of those it shares a key with and matches
    similarity: Floats  # Jaccard of all shingles
    by_question: Booleans  # goes only because the survivor answers the same question
    left: Ints  # both stay, and belong to one group
    right: Ints

    @classmethod
    def none(cls) -> Self:
        """No pair is alike."""
        nobody = np.zeros(0, dtype=np.int64)
        return cls(nobody, nobody, np.zeros(0), np.zeros(0, np.bool_), nobody, nobody)

    def only(self, removals: Booleans, pairs: Booleans) -> Self:
        """Some of those that go, and some of the pairs that stay."""
        return self._replace(
            removed=self.removed[removals],
            survivor=self.survivor[removals],
            similarity=self.similarity[removals],
            by_question=self.by_question[removals],
            left=self.left[pairs],
            right=self.right[pairs],
        )

    def at(self, rows: Ints) -> Self:
        """The same matches, with rows for positions."""
        return self._replace(
            removed=rows[self.removed], survivor=rows[self.survivor], left=rows[self.left], right=rows[self.right]
        )


class Thresholds(NamedTuple):
    """From which likeness on a row goes, and from which rows that stay belong to one group."""

    same: float
    group: float

    @classmethod
    def of(cls, params: DedupParams) -> Self:
        """Infinite for groups when rows are not grouped by likeness."""
        return cls(params.min_similarity, np.inf if params.group_similarity is None else params.group_similarity)


def match(keys: BandKeys, compare: Compare, thresholds: Thresholds) -> Matches:
    """Who goes for whom, where a lower position is the better row and `keys` has a column for each.

    In each round the rows that are the first with each of their keys stay, and are compared with those that share one.
    Nothing is compared with a row that goes, so there are no chains, and many copies of a row cost one comparison each.
    What comes out for a row depends on the rows that it matches and on what comes out for them, and on no other.
    """
    rounds = []
    undecided = np.arange(keys.shape[1])
    decided_in = np.zeros(keys.shape[1], dtype=np.int64)  # round
    while len(undecided):
        stays, left, right = _pairs(keys[:, undecided])
        left, right = undecided[left], undecided[right]
        every, alike = compare(left, right)
        related = alike >= min(thresholds)
        rounds.append((left[related], right[related], every[related], alike[related]))
        decided = np.zeros(keys.shape[1], dtype=np.bool_)
        decided[undecided[stays]] = True
        decided[right[alike >= thresholds.same]] = True
        decided_in[decided] = len(rounds)
        undecided = undecided[~decided[undecided]]
    return _with_best_survivors(_sorted_out(rounds, thresholds), keys, decided_in, compare, thresholds)


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
    by_question = np.zeros(len(removed), dtype=np.bool_)
    return Matches(removed, survivors, similarity, by_question, left[group], right[group])


def _with_best_survivors(
    found: Matches, keys: BandKeys, decided_in: Ints, compare: Compare, thresholds: Thresholds
) -> Matches:
    """A row that went in one round may also match a better row that stayed only in a later one: then it goes for that."""
    stays = np.ones(keys.shape[1], dtype=np.bool_)
    stays[found.removed] = False
    staying = np.flatnonzero(stays)
    pairs = [np.zeros(0, dtype=np.uint64)]
    for of_rows in keys:
        band = of_rows.astype(np.uint64) << HIGH_BITS
        ordered = rising(band[staying] | staying.astype(np.uint64))
        first = np.searchsorted(ordered, band[found.removed])
        better = np.searchsorted(ordered, band[found.removed] | found.survivor.astype(np.uint64)) - first
        row, other = np.repeat(found.removed, better), (ordered[ranges(first, better)] & LOW).astype(np.int64)
        met = decided_in[other] > decided_in[row]
        pairs.append((row[met].astype(np.uint64) << HIGH_BITS) | other[met].astype(np.uint64))
    pair = distinct(np.concatenate(pairs))
    row, other = (pair >> HIGH_BITS).astype(np.int64), (pair & LOW).astype(np.int64)
    every, alike = compare(other, row)
    same = np.flatnonzero(alike >= thresholds.same)
    changed, first = np.unique(row[same], return_index=True)
    at = np.searchsorted(found.removed, changed)
    found.survivor[at], found.similarity[at] = other[same][first], every[same][first]
    return found
