"""Long conversations turn by turn: which turns they have, which of them to look for, and how alike they are.

A long conversation goes for one that says the same at some place: turns like each of its own, in its order and with
none between. So neither a long turn that both share, nor a long tail that only one has, decides for the others.
"""

from typing import NamedTuple

import numpy as np

from stages.dedup.minhash import BandKeys, Bands, band_keys, own_counts, without
from stages.dedup.shingle_chunks import ShingleChunks
from stages.dedup.similarity import Floats, Similarity
from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import ranges, starts_of


class Turns(NamedTuple):
    """The turns of the sketches that are compared turn by turn, one sketch's after another's."""

    shingles: ShingleChunks  # of each turn
    counts: Ints  # how many turns each sketch has; 0 where it is compared as a whole

    @property
    def first(self) -> Ints:
        return starts_of(self.counts)


class KeyedTurns(NamedTuple):
    """The turns of some conversations in their order, with keys that like ones have in common."""

    keys: BandKeys  # bands x turns
    owner: Ints  # place of each turn's conversation, rising
    is_anchor: Booleans  # of each conversation the turn that says most: the one it is looked for by
    anchor: Ints  # per conversation the place of that turn among its turns


def keyed(turns: Turns, sketches: Ints, templates: Hashes, bands: Bands, seed: int) -> KeyedTurns:
    """The turns of the conversations with these sketches; one that is compared as a whole has none."""
    counts = turns.counts[sketches]
    number = ranges(turns.first[sketches], counts)
    place = np.full(len(turns.shingles.counts), -1)
    place[number] = np.arange(len(number))
    keys, own = np.zeros((bands.bands, len(number)), dtype=np.uint32), np.zeros(len(number), dtype=np.int64)
    for chosen, shingles in turns.shingles.of(place >= 0):
        keys[:, place[chosen]] = band_keys(without(shingles, templates), bands, seed)
        own[place[chosen]] = own_counts(shingles, templates)
    owner = np.repeat(np.arange(len(sketches)), counts)
    most_first = np.lexsort((-own, owner))[starts_of(counts)[counts > 0]]
    is_anchor = np.zeros(len(number), dtype=np.bool_)
    is_anchor[most_first] = True
    anchor = np.zeros(len(sketches), dtype=np.int64)
    anchor[counts > 0] = most_first - starts_of(counts)[counts > 0]
    return KeyedTurns(keys, owner, is_anchor, anchor)


class TurnSimilarity:
    """How alike conversations are in their least similar turn, at the place where that is most."""

    def __init__(self, turns: Turns, templates: Hashes, least: float) -> None:
        self._turns, self._first, self._least = turns, turns.first, least
        self._similarity = Similarity(turns.shingles, templates)

    def compare(self, left: Ints, right: Ints, anchor: Ints) -> tuple[Floats, Floats]:
        """Jaccard of all shingles, and without template, of sketches right[i] within left[i]; 0 for less than `least`."""
        pair, start = self._places(left, right, anchor)
        count = self._turns.counts[right[pair]]
        own, others = ranges(self._first[right[pair]], count), ranges(self._first[left[pair]] + start, count)
        answers = self._similarity.compare(others, own)
        every, alike = np.zeros(len(left)), np.zeros(len(left))
        if len(pair):
            least_every, least_alike = (np.minimum.reduceat(answer, starts_of(count)) for answer in answers)
            rising = np.lexsort((least_every, least_alike, pair))
            every[pair[rising]], alike[pair[rising]] = least_every[rising], least_alike[rising]  # the last one stands
        return every, alike

    def _places(self, left: Ints, right: Ints, anchor: Ints) -> tuple[Ints, Ints]:
        """Pairs with each turn of the left one at which the right one may start, as their anchors are alike there."""
        room = np.maximum(self._turns.counts[left] - self._turns.counts[right] + 1, 0)
        pair = np.repeat(np.arange(len(left)), room)
        start = ranges(np.zeros(len(left), dtype=np.int64), room)
        others = self._first[left[pair]] + start + anchor[pair]
        alike = self._similarity.compare(others, self._first[right[pair]] + anchor[pair])[1] >= self._least
        return pair[alike], start[alike]
