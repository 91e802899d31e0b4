"""Compares rows exactly, by the sets of their shingles."""

import numpy as np
import numpy.typing as npt

from stages.dedup.minhash import slices_of
from stages.dedup.shingle_chunks import Gathered, ShingleChunks
from stages.dedup.sorting import distinct, rising
from stages.texts.word_bytes import Hashes, Ints

Floats = npt.NDArray[np.float64]

SHINGLES_AT_ONCE = 2_000_000  # bounds the memory of one comparison
PAIR_BITS = np.uint64(20)  # pairs of one comparison; the other 44 bits are the shingle's
SHINGLE_BITS = np.uint64(44)


class Similarity:
    """Answers are exact: Jaccard of sets of 44-bit hashes, 1 = the same.

    Of two rows with a hundred shingles each, two different ones are taken for one with a chance of 10^-9.
    """

    def __init__(self, shingles: ShingleChunks, templates: Hashes) -> None:
        self._shingles = shingles
        self._templates = np.unique(templates >> PAIR_BITS)

    def compare(self, left: Ints, right: Ints) -> tuple[Floats, Floats]:
        """Jaccard of all shingles; and the lesser of it and that of the shingles that are not template."""
        counts = self._shingles.counts
        work = counts[left] + counts[right] + SHINGLES_AT_ONCE // (1 << int(PAIR_BITS)) + 1
        answers = [self._compare(left[part], right[part]) for part in slices_of(work, SHINGLES_AT_ONCE)]
        every, alike = (np.concatenate([np.zeros(0), *(answer[side] for answer in answers)]) for side in range(2))
        return every, alike

    def _compare(self, left: Ints, right: Ints) -> tuple[Floats, Floats]:
        one, other = (_distinct(self._shingles.gather(rows)) for rows in (left, right))
        both = rising(np.concatenate([one, other]))
        common = both[:-1][both[1:] == both[:-1]]
        sizes = [np.bincount(_pair(keys), minlength=len(left)) for keys in (one, other, common)]
        every = _jaccard(*sizes, of_none=0)  # a row without words is like none
        if not len(self._templates):
            return every, every
        template = [
            np.bincount(_pair(keys[self._is_template(keys)]), minlength=len(left)) for keys in (one, other, common)
        ]
        own = _jaccard(*(total - known for total, known in zip(sizes, template, strict=True)), of_none=1)
        return every, np.minimum(every, own)

    def _is_template(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        return np.isin(keys & np.uint64((1 << int(SHINGLE_BITS)) - 1), self._templates)


def _distinct(gathered: Gathered) -> Hashes:
    """The distinct shingles of each pair's row: the pair in the high bits, the shingle in the low ones, rising."""
    keys = (gathered.places.astype(np.uint64) << SHINGLE_BITS) | (gathered.hashes >> PAIR_BITS)
    return distinct(keys)


def _pair(keys: Hashes) -> Ints:
    return (keys >> SHINGLE_BITS).astype(np.int64)


def _jaccard(one: Ints, other: Ints, common: Ints, *, of_none: int) -> Floats:
    """|A and B| / |A or B|; `of_none` where both are empty."""
    union = one + other - common
    return np.where(union > 0, common / np.maximum(union, 1), of_none)
