"""Finds candidate pairs by MinHash and banding (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets 3.4).

Rows that share a band's key are candidates and nothing more: each pair is compared exactly before anything is decided.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import Runs, starts_of

BandKeys = npt.NDArray[np.uint32]  # bands x rows

MOST_PERMUTATIONS = 128
LEAST_RECALL = 0.9999  # of one pair, right at the threshold
SHINGLES_AT_ONCE = 65_536  # half a megabyte of hashes stays in a core's cache
MIX = np.uint32(0x9E3779B1)  # odd; 2^32 / golden ratio


class Bands(NamedTuple):
    """How signatures are cut: each band is `rows` minima long."""

    bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """The chance that a pair of this similarity shares a key."""
        return 1 - (1 - similarity**self.rows) ** self.bands


def bands_for(similarity: float) -> Bands:
    """The longest bands, as few as will do, with which a pair of this similarity is found with LEAST_RECALL."""
    for rows in range(16, 0, -1):
        most = Bands(MOST_PERMUTATIONS // rows, rows)
        if most.recall(similarity) >= LEAST_RECALL:
            return next(
                cut for n in range(1, most.bands + 1) if (cut := Bands(n, rows)).recall(similarity) >= LEAST_RECALL
            )
    return Bands(MOST_PERMUTATIONS, 1)


def band_keys(shingles: Runs, bands: Bands, seed: int) -> BandKeys:
    """The keys of each row; a row without shingles has no business here."""
    keys = np.zeros((bands.bands, len(shingles.counts)), dtype=np.uint32)
    multipliers, offsets = _permutations(bands, seed)
    starts = starts_of(shingles.counts)
    for part in slices_of(shingles.counts, SHINGLES_AT_ONCE):
        begin = starts[part]
        among = (shingles.hashes[begin[0] : begin[-1] + shingles.counts[part][-1]] >> np.uint64(32)).astype(np.uint32)
        permuted = np.empty_like(among)
        for number in range(bands.bands * bands.rows):
            np.multiply(among, multipliers[number], out=permuted)
            np.add(permuted, offsets[number], out=permuted)
            smallest = np.minimum.reduceat(permuted, begin - begin[0])
            mixed = (keys[number // bands.rows, part] ^ smallest) * MIX
            keys[number // bands.rows, part] = mixed ^ (mixed >> np.uint32(15))
    return keys


def _permutations(bands: Bands, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Odd multipliers and offsets of the permutations x -> a x + b modulo 2^32 of shingle hashes, which are random."""
    generator = np.random.Generator(np.random.PCG64(seed))
    draw = generator.integers(0, 2**32, size=(2, bands.bands * bands.rows), dtype=np.uint32)
    return draw[0] | np.uint32(1), draw[1]


def slices_of(costs: Ints, limit: int) -> list[slice]:
    """Consecutive slices of about `limit` cost each, at least one item long."""
    cuts = np.flatnonzero(np.diff(np.cumsum(costs) // limit)) + 1
    edges = [0, *cuts.tolist(), len(costs)]
    return [slice(start, end) for start, end in pairwise(edges) if end > start]


def without(shingles: Runs, templates: Hashes) -> Runs:
    """The shingles that are not template; a row that has no others keeps them all."""
    if not len(templates):
        return shingles
    own = ~np.isin(shingles.hashes, templates)
    left = _per_text(shingles, own)
    own |= np.repeat(left == 0, shingles.counts)
    return Runs(shingles.hashes[own], np.where(left == 0, shingles.counts, left))


def own_counts(shingles: Runs, templates: Hashes) -> Ints:
    """How many shingles each text has that are not template."""
    return _per_text(shingles, ~np.isin(shingles.hashes, templates)) if len(templates) else shingles.counts


def _per_text(shingles: Runs, chosen: Booleans) -> Ints:
    return np.bincount(shingles.owners[chosen], minlength=len(shingles.counts))
