"""Finds candidate pairs by MinHash and banding (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets 3.4).

Rows that share a bucket are candidates and nothing more: each pair is compared exactly before anything is decided.
"""

from typing import NamedTuple

import numpy as np

from stages.dedup.shingle_sets import ShingleSets, slices_of
from stages.word_runs import Booleans, Hashes, Ints, starts_of

PERMUTATIONS = 128
LEAST_RECALL = 0.9999  # of one pair, right at the threshold
SHINGLES_AT_ONCE = 131_072  # one megabyte of hashes stays in a core's cache
BAND_MULTIPLIER = np.uint64(0xFF51AFD7ED558CCD)  # odd, from MurmurHash3's finalizer


class Buckets(NamedTuple):
    """Which rows share a bucket: entries sorted by bucket, then row; every bucket has two rows or more."""

    bucket: Ints
    row: Ints  # position in the sets


def rows_per_band(similarity: float) -> int:
    """The longest band with which a pair of this similarity shares a bucket with probability LEAST_RECALL."""
    for rows in range(16, 1, -1):
        if 1 - (1 - similarity**rows) ** (PERMUTATIONS // rows) >= LEAST_RECALL:
            return rows
    return 1


def find_buckets(sets: ShingleSets, least_similarity: float, seed: int) -> Buckets:
    """The buckets in which rows at least this similar meet.

    Template shingles are not hashed, except for a row that has no others. Those that are in one row only are not
    hashed either, which brings two rows together more often than their likeness would and never less.
    """
    hashed = _hashed_shingles(sets)
    owners = np.repeat(np.arange(len(sets.rows)), sets.counts)[hashed]
    counts = np.bincount(owners, minlength=len(sets.rows))
    rows = np.flatnonzero(counts)
    keys = _band_keys(sets.hashes[sets.ids[hashed]], counts[rows], rows_per_band(least_similarity), seed)
    entries = [(bucket, rows[among]) for bucket, among in map(_shared_keys, keys)]
    made = starts_of(np.array([bucket.max(initial=-1) + 1 for bucket, _ in entries]))
    bucket = np.concatenate([bucket + first for (bucket, _), first in zip(entries, made, strict=True)])
    row = np.concatenate([among for _, among in entries])
    order = np.lexsort((row, bucket))
    return Buckets(bucket[order], row[order])


def _hashed_shingles(sets: ShingleSets) -> Booleans:
    """Per listed shingle, whether the row's signature is made from it."""
    only_template = sets.template_sizes == sets.sizes
    hashed: Booleans = ~sets.is_template[sets.ids] | np.repeat(only_template, sets.counts)
    return hashed


def _shared_keys(keys: Hashes) -> tuple[Ints, Booleans]:
    """Dense numbers of the keys that occur twice or more, and where they stand."""
    _, number, size = np.unique(keys, return_inverse=True, return_counts=True)
    shared = size[number] > 1
    return number[shared], shared


def _band_keys(hashes: Hashes, counts: Ints, width: int, seed: int) -> Hashes:
    """One key per band and row (bands x rows) from the shingle hashes of rows with `counts` shingles, none of them 0."""
    keys = np.zeros((PERMUTATIONS // width, len(counts)), dtype=np.uint64)
    multipliers, offsets = _permutations(seed)
    starts = starts_of(counts)
    for part in slices_of(counts, SHINGLES_AT_ONCE):
        begin = starts[part]
        among = hashes[begin[0] : begin[-1] + counts[part][-1]]
        for number in range(PERMUTATIONS // width * width):
            permuted = (among * multipliers[number] + offsets[number]) >> np.uint64(32)
            smallest = np.minimum.reduceat(permuted, begin - begin[0])
            mixed = (keys[number // width, part] ^ smallest) * BAND_MULTIPLIER
            keys[number // width, part] = mixed ^ (mixed >> np.uint64(32))
    return keys


def _permutations(seed: int) -> tuple[Hashes, Hashes]:
    """Odd multipliers and offsets of the hash functions x -> high 32 bits of a x + b (Dietzfelbinger et al. 1997)."""
    draw = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**64, size=(2, PERMUTATIONS), dtype=np.uint64)
    return draw[0] | np.uint64(1), draw[1]
