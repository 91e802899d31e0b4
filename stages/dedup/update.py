"""Carries the matches of an earlier run over to a corpus that has changed a little.

A verdict on a row that was compared before can change only because a row that can be like it is new, or because its
survivor no longer stays. So new rows are compared with all that can be like them; a row whose survivor then goes is
treated as new itself, and so on until nobody is left without a survivor. All other verdicts stand, and the outcome is
that of comparing everything anew. For the proof go down from the best row: a row that stayed can lose its place only to
one that did not stay before, a row that went can get another survivor only by the first coming to stay or the old one
going, and each of these was compared with all that can be like it.
"""

from typing import NamedTuple, Self

import numpy as np

from stages.dedup.comparison import Comparison
from stages.dedup.survivors import Matches
from stages.texts.word_bytes import Booleans, Ints

MOST_NEW = 0.1  # share of the texts; of more, comparing everything is as fast
MOST_TURNS = 4  # as each reads every shingle


class Settled(NamedTuple):
    """What an earlier run found, in rows of the corpus as it is now."""

    known: Booleans  # rows that stood for the same text then, and have their survivor still
    found: Matches  # of known rows only

    @classmethod
    def carried(cls, found: Matches, row: Ints, rows: int) -> Self:
        """What is left of `found` in a corpus of `rows`, where row[i] stands for the text that i stood for, -1 for none."""
        found = found.at(row)
        known = np.zeros(rows, dtype=np.bool_)
        known[row[row >= 0]] = True
        known[found.removed[(found.removed >= 0) & (found.survivor < 0)]] = False
        stands, grouped = (found.removed >= 0) & (found.survivor >= 0), (found.left >= 0) & (found.right >= 0)
        return cls(known, found.only(stands, grouped))


def updated(comparison: Comparison, settled: Settled) -> Matches | None:
    """The matches of the whole corpus; None when too much has changed for this to be faster."""
    new = comparison.compared & ~settled.known
    survivor = np.full(len(new), -1)
    survivor[settled.found.removed] = settled.found.survivor
    near, joining = np.zeros(len(new), dtype=np.bool_), new | _may_be_orphaned(comparison, new, settled)
    for _ in range(MOST_TURNS):
        new = new | joining
        if new.sum() > MOST_NEW * comparison.compared.sum():
            return None
        near |= _near(comparison, joining, survivor)
        found = comparison.match_among(near)
        goes = np.zeros(len(new), dtype=np.bool_)
        goes[found.removed] = True
        orphaned = settled.found.removed[goes[settled.found.survivor] & ~new[settled.found.removed]]
        if not len(orphaned):
            return _joined(settled.found, found, near, goes)
        joining = np.zeros(len(new), dtype=np.bool_)
        joining[orphaned] = True
    return None


def _may_be_orphaned(comparison: Comparison, new: Booleans, settled: Settled) -> Booleans:
    """Rows of which the survivor can be like a new row, and go for it: treated as new from the start they cost little."""
    survives = np.zeros(len(new), dtype=np.bool_)
    survives[settled.found.survivor] = True
    asked = comparison.shingles_of(new & comparison.with_words)
    endangered = comparison.can_be_like(asked, 1, survives)
    orphaned = np.zeros(len(new), dtype=np.bool_)
    orphaned[settled.found.removed[endangered[settled.found.survivor]]] = True
    return orphaned


def _near(comparison: Comparison, new: Booleans, survivor: Ints) -> Booleans:
    """New rows, those that can be like them, and the survivors of these."""
    near: Booleans = new.copy()
    if new.any():
        asked = comparison.shingles_of(new & comparison.with_words)
        near |= comparison.can_be_like(asked, 1, comparison.with_words)
    if (new & comparison.by_turns).any():
        near |= comparison.by_turns  # one of a hundred turns may make a row like a new one, and that is not looked for
    for numbers in comparison.matching:
        matched = np.zeros(len(new), dtype=np.bool_)
        matched[numbers[new]] = True
        near |= comparison.compared & matched[numbers]
    survivors = survivor[near]
    near[survivors[survivors >= 0]] = True
    return near


def _joined(before: Matches, now: Matches, near: Booleans, goes: Booleans) -> Matches:
    """Verdicts of now on rows that were looked at, verdicts of before on all others."""
    stands = ~near[before.removed]
    grouped = ~(goes[before.left] | goes[before.right]) & ~(near[before.left] & near[before.right])
    kept = before.only(stands, grouped)
    return Matches(*(np.concatenate(columns) for columns in zip(kept, now, strict=True)))
