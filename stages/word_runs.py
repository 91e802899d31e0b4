"""Hashes of runs of consecutive words (n-grams), as flat arrays over many texts.

Two runs are the same when their 64-bit hashes are: among 10^8 runs a single false match has a chance of about 0.03 %.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.conversation_text import words

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Booleans = npt.NDArray[np.bool_]

BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64; 2^64 / golden ratio (Knuth, TAOCP 3, 6.4)
INVERSE = pow(BASE, -1, 2**64)


class Runs(NamedTuple):
    """One hash for each word, or for each run of words, of consecutive texts."""

    hashes: Hashes
    counts: Ints  # per text

    @property
    def owners(self) -> Ints:
        """Which text each belongs to, counted from 0."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def of_texts(self, keep: Booleans) -> "Runs":
        """Those of some of the texts."""
        return Runs(self.hashes[np.repeat(keep, self.counts)], self.counts[keep])


def word_hashes(texts: pl.Series) -> Runs:
    """The words of texts without nulls."""
    tokens = texts.to_frame("text").select(words(pl.col("text"))).to_series()
    counts = tokens.list.len().to_numpy().astype(np.int64)
    return Runs(tokens.explode(empty_as_null=False).hash().to_numpy(), counts)


def run_hashes(text_words: Runs, length: int, *, short_texts: bool = False) -> Runs:
    """Every run of `length` words. A shorter text has none, or with `short_texts` one: all of its words.

    The hash of words w is the sum of w[j] B^j modulo 2^64, a difference of two sums from the beginning.
    """
    counts = np.maximum(text_words.counts - length + 1, 0)
    if short_texts:
        counts = np.where(text_words.counts > 0, np.maximum(counts, 1), 0)
    starts = starts_of(text_words.counts)
    first = ranges(starts, counts)
    past = np.minimum(first + length, np.repeat(starts + text_words.counts, counts))
    sums = np.append(np.uint64(0), np.cumsum(text_words.hashes * _powers(BASE, len(text_words.hashes))))
    runs = (sums[past] - sums[first]) * _powers(INVERSE, len(text_words.hashes))[first]
    return Runs(_scattered(runs), counts)


def starts_of(counts: Ints) -> Ints:
    """Where each of consecutive runs of these lengths begins."""
    return np.cumsum(counts) - counts


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The indices start, start + 1, … of every run, one run after the other."""
    return np.arange(counts.sum()) + np.repeat(starts - starts_of(counts), counts)


def _powers(base: int, count: int) -> Hashes:
    """base^0, base^1, … modulo 2^64."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _scattered(values: Hashes) -> Hashes:
    """Makes every bit depend on every bit; one to one (the finalizer of MurmurHash3)."""
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(multiplier)
    return values ^ (values >> np.uint64(33))
