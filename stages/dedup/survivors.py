"""Decides which rows stay: going from the best row down, a row goes when it matches one that stays already."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from stages.dedup.candidates import Candidates, Pairs
from stages.dedup.similarity import Floats
from stages.dedup.stage import DedupParams
from stages.texts.word_bytes import Booleans, Ints


class Likeness(NamedTuple):
    """Of pairs, a better row and another."""

    similarity: Floats  # Jaccard of all shingles, which is told
    same: Floats  # decides whether the other row goes
    group: Floats  # decides whether they belong together where both stay


Compare = Callable[[Ints, Ints], Likeness]
# Of the rows left after so many rounds each two that can be alike, the better one first; None where they are too many yet.
PairsAmong = Callable[[Ints, int], Iterable[tuple[Ints, Ints]] | None]
# Rounds after which what is left may be compared at once: of many copies of a row most are gone then.
LOOKS = frozenset(2**power for power in range(1, 32))


class Matches(NamedTuple):
    """Pairs of positions that were compared and found alike."""

    removed: Ints  # goes ...
    survivor: Ints  # ... because it matches this one, the best that stays of those it shares a key with and matches
    similarity: Floats  # as in Likeness
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


def match(
    candidates: Sequence[Candidates], rows: int, compare: Compare, thresholds: Thresholds, pairs_among: PairsAmong
) -> Matches:
    """Who goes for whom of `rows`, where a lower number is the better row.

    In each round the rows that are the first with each of their keys stay, and are compared with those that share one.
    Nothing is compared with a row that goes, so there are no chains, and many copies of a row cost one comparison each.
    What comes out for a row depends on the rows that it matches and on what comes out for them, and on no other.
    Rows made from one template may all share keys without being alike, and would take a round each: what is left after
    some rounds is compared at once, if it is not too much.
    """
    rounds: list[Round] = []
    undecided = np.arange(rows)
    decided_in = np.zeros(rows, dtype=np.int64)  # round
    while len(undecided):
        met = [some.meet(undecided) for some in candidates]
        stays = np.logical_and.reduce([some.first() for some in met])
        left, right = Pairs.once(pair for some in met for pair in some.pairs(stays))
        likeness = compare(left, right)
        related = (likeness.same >= thresholds.same) | (likeness.group >= thresholds.group)
        rounds.append(Round(left, right, likeness).only(related))
        decided = np.zeros(rows, dtype=np.bool_)
        decided[undecided[stays]] = True
        decided[right[likeness.same >= thresholds.same]] = True
        decided_in[decided] = len(rounds)
        undecided = undecided[~decided[undecided]]
        if len(undecided) and len(rounds) in LOOKS and (pairs := pairs_among(undecided, len(rounds))) is not None:
            rounds.append(_last_round(pairs, rows, compare, thresholds))
            decided_in[undecided] = len(rounds)
            break
    return _with_best_survivors(_sorted_out(rounds, thresholds), candidates, decided_in, compare, thresholds)


class Round(NamedTuple):
    """Pairs that were compared and are related."""

    left: Ints
    right: Ints
    likeness: Likeness

    def only(self, chosen: Ints | Booleans) -> Self:
        return type(self)(
            self.left[chosen], self.right[chosen], Likeness(*(values[chosen] for values in self.likeness))
        )


def _last_round(pairs: Iterable[tuple[Ints, Ints]], rows: int, compare: Compare, thresholds: Thresholds) -> Round:
    """The related pairs of rows that are left, of which the better one stays, by that and then by the other."""
    found = [Round(nobody := np.zeros(0, dtype=np.int64), nobody, compare(nobody, nobody))]
    for left, right in pairs:
        likeness = compare(left, right)
        related = (likeness.same >= thresholds.same) | (likeness.group >= thresholds.group)
        found.append(Round(left, right, likeness).only(related))
    left, right = (np.concatenate([getattr(one, side) for one in found]) for side in ("left", "right"))
    likeness = Likeness(*(np.concatenate(column) for column in zip(*(one.likeness for one in found), strict=True)))
    same = likeness.same >= thresholds.same
    order = np.lexsort((right, left))
    return Round(left, right, likeness).only(order[~_goes(left[same], right[same], rows)[left[order]]])


def _goes(better: Ints, worse: Ints, rows: int) -> Booleans:
    """Which rows go, where the worse of each two goes if the better one stays."""
    goes = np.zeros(rows, dtype=np.bool_)
    while len(better):
        waits = np.zeros(rows, dtype=np.bool_)
        waits[worse] = True
        goes[worse[~waits[better]]] = True
        left = waits[better] & ~goes[better] & ~goes[worse]
        better, worse = better[left], worse[left]
    return goes


def _sorted_out(rounds: list[Round], thresholds: Thresholds) -> Matches:
    if not rounds:
        return Matches.none()
    left, right = (np.concatenate([getattr(one, side) for one in rounds]) for side in ("left", "right"))
    similarity, same, group = (np.concatenate(column) for column in zip(*(one.likeness for one in rounds), strict=True))
    duplicate = same >= thresholds.same
    removed, first = np.unique(right[duplicate], return_index=True)  # the first: found earliest, best row
    together = ~np.isin(right, removed) & (group >= thresholds.group)
    survivors = left[duplicate][first]
    by_question = np.zeros(len(removed), dtype=np.bool_)
    return Matches(removed, survivors, similarity[duplicate][first], by_question, left[together], right[together])


def _with_best_survivors(
    found: Matches, candidates: Sequence[Candidates], decided_in: Ints, compare: Compare, thresholds: Thresholds
) -> Matches:
    """A row that went in one round may also match a better row that stayed only in a later one: then it goes for that."""
    stays = np.ones(len(decided_in), dtype=np.bool_)
    stays[found.removed] = False
    staying = np.flatnonzero(stays)
    better = (pair for some in candidates for pair in some.better(found.removed, found.survivor, staying))
    row, other = Pairs.once(
        (row[later], other[later]) for row, other in better for later in [decided_in[other] > decided_in[row]]
    )
    likeness = compare(other, row)
    same = np.flatnonzero(likeness.same >= thresholds.same)
    changed, first = np.unique(row[same], return_index=True)
    at = np.searchsorted(found.removed, changed)
    found.survivor[at], found.similarity[at] = other[same][first], likeness.similarity[same][first]
    return found
