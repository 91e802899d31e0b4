"""Finds which rows have to be compared, round by round: pairs that share a key. Rows are numbered best first."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stages.dedup.minhash import BandKeys, slices_of
from stages.dedup.sharing import ROUNDING
from stages.dedup.sorting import distinct, rising, starts_group
from stages.dedup.turns import KeyedTurns
from stages.texts.word_bytes import Booleans, Ints
from stages.texts.word_runs import ranges

Keys = npt.NDArray[np.uint32]
LOW = np.uint64(0xFFFFFFFF)
HIGH_BITS = np.uint64(32)
PAIRS_AT_ONCE = 1 << 20  # bounds the memory of looking at them


class Pairs(NamedTuple):
    """Two rows each."""

    left: Ints
    right: Ints

    @classmethod
    def once(cls, found: Iterator[tuple[Ints, Ints]]) -> "Pairs":
        """Each pair once, by its left row and then by its right one."""
        packed = [(left.astype(np.uint64) << HIGH_BITS) | right.astype(np.uint64) for left, right in found]
        pairs = distinct(np.concatenate([np.zeros(0, dtype=np.uint64), *packed]))
        return cls((pairs >> HIGH_BITS).astype(np.int64), (pairs & LOW).astype(np.int64))


class Meeting(Protocol):
    """The rows of one round."""

    def first(self) -> Booleans:
        """Whether no better row of the round shares a key with it."""
        ...

    def pairs(self, stays: Booleans) -> Iterator[tuple[Ints, Ints]]:
        """Rows that stay, each being first, with the others that share a key with it; of the whole corpus."""
        ...


class Candidates(Protocol):
    """Who shares keys with whom."""

    def meet(self, rows: Ints) -> Meeting: ...

    def better(self, rows: Ints, than: Ints, staying: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Each of some rows with those of the staying that share a key with it and are better than `than` of it."""
        ...


class Common(NamedTuple):
    """What each of some rows has in common with any other of them, whichever that is."""

    shared: Ints  # shingles that another one has, too
    own: Ints  # and those that no other has

    def most_own(self, least_similarity: float) -> Ints:
        """How many shingles of its own a row may have that is so similar to this one.

        Both hold at most what is shared, and neither holds what is the other's own: J <= shared / (shared + own + own).
        """
        most: Ints = np.floor(self.shared * (1 / least_similarity - 1) - self.own + ROUNDING).astype(np.int64)
        return most


class WholeTexts:
    """A column of keys for each row."""

    def __init__(self, keys: BandKeys) -> None:
        self._keys = keys

    def meet(self, rows: Ints) -> "WholeTextMeeting":
        leaders = np.empty((len(self._keys), len(rows)), dtype=np.uint32)
        for number, band in enumerate(self._keys):
            leaders[number] = _leaders(band[rows])
        return WholeTextMeeting(rows, leaders)

    def better(self, rows: Ints, than: Ints, staying: Ints) -> Iterator[tuple[Ints, Ints]]:
        for of_rows in self._keys:
            band = of_rows.astype(np.uint64) << HIGH_BITS
            ordered = rising(band[staying] | staying.astype(np.uint64))
            first = np.searchsorted(ordered, band[rows])
            better = np.searchsorted(ordered, band[rows] | than.astype(np.uint64)) - first
            yield np.repeat(rows, better), (ordered[ranges(first, better)] & LOW).astype(np.int64)

    def count_pairs(self, rows: Ints, common: Common, least_similarity: float) -> int:
        """How many `pairs` have to be looked at, those that share several keys as often."""
        return sum(int(near.counts.sum()) for near in self._near(rows, common, least_similarity))

    def pairs(self, rows: Ints, common: Common, least_similarity: float) -> Iterator[tuple[Ints, Ints]]:
        """Each two of some rows that share a key and can be that similar, the better one first."""
        most_own = common.most_own(least_similarity)
        for number, near in enumerate(self._near(rows, common, least_similarity)):
            for part in slices_of(near.counts, PAIRS_AT_ONCE):
                one = np.repeat(near.order[part], near.counts[part])
                other = near.order[ranges(near.start[part], near.counts[part])]
                new = common.own[one] <= most_own[other]
                for band in self._keys[:number]:  # those that share an earlier key were met there
                    one, other = one[new], other[new]
                    new = band[rows[one]] != band[rows[other]]
                one, other = rows[one[new]], rows[other[new]]
                yield np.minimum(one, other), np.maximum(one, other)

    def _near(self, rows: Ints, common: Common, least_similarity: float) -> Iterator["Near"]:
        """For each key, the rows one after the other with those that share it, have fewer shingles of their own, and not
        too many of them."""
        most_own = np.clip(common.most_own(least_similarity), -1, common.own.max(initial=0))
        several = int(common.own.max(initial=0)) + 2
        for band in self._keys:
            keys = band[rows]
            order = np.lexsort((common.own, keys))
            starts = starts_group(keys[order])
            group = np.cumsum(starts) - 1
            reach = np.searchsorted(
                group * several + common.own[order], group * several + most_own[order], side="right"
            )
            start = np.flatnonzero(starts)[group]
            yield Near(order, start, np.maximum(np.minimum(reach, np.arange(len(rows))) - start, 0))


class Near(NamedTuple):
    """Places of rows in an order in which those near a row stand in one stretch."""

    order: Ints
    start: Ints  # of the stretch, for each in that order
    counts: Ints  # how many stand in it


class WholeTextMeeting(NamedTuple):
    rows: Ints
    leaders: npt.NDArray[np.uint32]  # bands x rows: the first row of the meeting with the same key

    def first(self) -> Booleans:
        found: Booleans = (self.leaders == np.arange(len(self.rows), dtype=np.uint32)).all(axis=0)
        return found

    def pairs(self, stays: Booleans) -> Iterator[tuple[Ints, Ints]]:
        before = itself = np.arange(len(self.rows), dtype=np.uint32)
        for leader in self.leaders:  # most pairs share key after key
            new = stays[leader] & (leader != itself) & (leader != before)
            yield self.rows[leader[new]], self.rows[new]
            before = leader


class SingleTurns:
    """Keys for each turn of long conversations: any turn of the better one, but the anchor of the other."""

    def __init__(self, turns: KeyedTurns, rows: int) -> None:
        self._turns, self._rows = turns, rows

    def meet(self, rows: Ints) -> "SingleTurnMeeting":
        return SingleTurnMeeting(self._of(rows), rows, self._rows)

    def better(self, rows: Ints, than: Ints, staying: Ints) -> Iterator[tuple[Ints, Ints]]:
        bound = np.zeros(self._rows, dtype=np.int64)
        bound[rows] = than
        anchors, others = self._of(rows), self._of(staying)
        for row, other in _shared(anchors, anchors.is_anchor, others, np.ones(len(others.owner), dtype=np.bool_)):
            better = other < bound[row]
            yield row[better], other[better]

    def _of(self, rows: Ints) -> KeyedTurns:
        there = np.zeros(self._rows, dtype=np.bool_)
        there[rows] = True
        chosen, turns = there[self._turns.owner], self._turns
        return KeyedTurns(turns.keys[:, chosen], turns.owner[chosen], turns.is_anchor[chosen], turns.anchor)


class SingleTurnMeeting(NamedTuple):
    turns: KeyedTurns
    rows: Ints
    corpus_rows: int

    def first(self) -> Booleans:
        first = np.ones(self.corpus_rows, dtype=np.bool_)
        owner, anchors = self.turns.owner, np.flatnonzero(self.turns.is_anchor)
        for keys in self.turns.keys:
            first[owner[anchors]] &= owner[_leaders(keys)[anchors]] == owner[anchors]
        return first[self.rows]

    def pairs(self, stays: Booleans) -> Iterator[tuple[Ints, Ints]]:
        staying = np.zeros(self.corpus_rows, dtype=np.bool_)
        staying[self.rows[stays]] = True
        stands = staying[self.turns.owner]
        for row, other in _shared(self.turns, self.turns.is_anchor & ~stands, self.turns, stands):
            better = other < row
            yield other[better], row[better]


def _shared(ours: KeyedTurns, chosen: Booleans, theirs: KeyedTurns, among: Booleans) -> Iterator[tuple[Ints, Ints]]:
    """Band by band: owners of some of our turns, and of those of their turns that have the same key."""
    our_owner, their_owner = ours.owner[chosen], theirs.owner[among]
    for our_keys, their_keys in zip(ours.keys, theirs.keys, strict=True):
        wanted, kept = our_keys[chosen], their_keys[among]
        order = np.argsort(kept)
        first = np.searchsorted(kept, wanted, sorter=order)
        count = np.searchsorted(kept, wanted, side="right", sorter=order) - first
        yield np.repeat(our_owner, count), their_owner[order[ranges(first, count)]]


def _leaders(keys: Keys) -> Keys:
    """For each place the first one with the same key."""
    by_key = rising((keys.astype(np.uint64) << HIGH_BITS) | np.arange(len(keys), dtype=np.uint64))
    place = (by_key & LOW).astype(np.uint32)
    first = starts_group(by_key >> HIGH_BITS)
    leaders = np.empty(len(keys), dtype=np.uint32)
    leaders[place] = place[first][np.cumsum(first) - 1]
    return leaders
