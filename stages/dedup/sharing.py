"""Finds the rows that can be like others at all, in memory that does not hold the corpus."""

import numpy as np

from stages.dedup.sorting import rising, starts_group
from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import Runs, starts_of

# At least; then at most one shingle in four counts as shared without being so, which costs time only.
SLOTS_PER_SHINGLE = 3
LEAST_BITS, MOST_BITS = 16, 31  # 64 KiB to 2 GiB
SHINGLES_AT_ONCE = 65_536  # half a megabyte of hashes stays in a core's cache
ADDED_AT_ONCE = 4_000_000  # bounds the memory of sorting them
ROUNDING = 1e-9  # a share that is exactly the least one is enough


class Occurrences:
    """Whether a shingle was added, and whether twice or more; `expected` will be added. Never a false no."""

    def __init__(self, expected: int) -> None:
        self._bits = min(max((SLOTS_PER_SHINGLE * expected - 1).bit_length(), LEAST_BITS), MOST_BITS)
        self._seen = np.zeros(1 << self._bits, dtype=np.uint8)  # 0, 1, or 2 for more than once

    def add(self, shingles: Hashes) -> None:
        for first in range(0, len(shingles), ADDED_AT_ONCE):
            self._add(shingles[first : first + ADDED_AT_ONCE])

    def _add(self, shingles: Hashes) -> None:
        slots = rising(self._slots(shingles).astype(np.uint32))  # neighbours in memory are met one after the other
        first = np.flatnonzero(starts_group(slots))
        several = np.diff(first, append=len(slots)) > 1
        slots = slots[first].astype(np.int64)
        self._seen[slots] = np.where(several, 2, np.minimum(self._seen[slots] + 1, 2))

    def at_least(self, times: int, shingles: Hashes) -> Booleans:
        """Whether each was added so often, `times` being 1 or 2."""
        found = np.empty(len(shingles), dtype=np.bool_)
        times_seen = np.empty(SHINGLES_AT_ONCE, dtype=np.uint8)
        for first in range(0, len(shingles), SHINGLES_AT_ONCE):
            slots = self._slots(shingles[first : first + SHINGLES_AT_ONCE])
            # No slot lies outside; a mode that does not look for one first takes two thirds of the time.
            seen = np.take(self._seen, slots, mode="wrap", out=times_seen[: len(slots)])
            np.greater_equal(seen, times, out=found[first : first + len(slots)])
        return found

    def _slots(self, shingles: Hashes) -> Ints:
        return (shingles >> np.uint64(64 - self._bits)).view(np.int64)  # what NumPy looks up by without converting


def likely_rows(shingles: Runs, occurrences: Occurrences, times: int, least_similarity: float) -> Booleans:
    """The rows of which at least this share of shingles was added so often: no other can be that similar to what was.

    Rows that were added themselves are asked for 2 times. A row's repeats count as shared, which keeps a row too many
    but never loses one.
    """
    likely = np.zeros(len(shingles.counts), dtype=np.bool_)
    rows = np.flatnonzero(shingles.counts)
    if len(rows):
        counts = shingles.counts[rows]
        among = occurrences.at_least(times, shingles.hashes).view(np.uint8)
        sharing = np.add.reduceat(among, starts_of(counts), dtype=np.int32)
        likely[rows] = sharing >= least_similarity * counts - ROUNDING
    return likely
