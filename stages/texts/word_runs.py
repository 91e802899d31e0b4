"""Hashes of runs of consecutive words (n-grams), as flat arrays over many texts.

Two runs are the same when their 64-bit hashes are: among 10^8 runs a single false match has a chance of about 0.03 %.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.texts.word_bytes import Booleans, Hashes, Ints, scattered, word_hashes_only

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so no word is lost; 2^64 / golden ratio (Knuth, TAOCP 3, 6.4)


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

    def at(self, places: Ints) -> "Runs":
        """Those at some places, in order, among all of them."""
        before = np.searchsorted(places, np.cumsum(self.counts))
        return Runs(self.hashes[places], np.diff(before, prepend=0))


def word_hashes(texts: pl.Series) -> Runs:
    """The words of texts without nulls, case folded."""
    return Runs(*word_hashes_only(texts))


def run_hashes(text_words: Runs, length: int, *, short_texts: bool = False) -> Runs:
    """Every run of `length` words. A shorter text has none, or with `short_texts` one: all of its words.

    The hash of words w is the sum of w[j] B^(length - j) modulo 2^64, made one to one afterwards.
    """
    counts = np.maximum(text_words.counts - length + 1, 0)
    runs = _rolled(text_words.hashes, length)[_within_texts(text_words.counts, length)]
    if not short_texts:
        return Runs(scattered(runs), counts)
    starts, short = starts_of(text_words.counts), np.flatnonzero((text_words.counts > 0) & (counts == 0))
    counts[short] = 1
    whole = starts_of(counts)
    hashes = np.empty(counts.sum(), dtype=np.uint64)
    is_short = np.zeros(len(hashes), dtype=np.bool_)
    is_short[whole[short]] = True
    hashes[~is_short] = runs
    for words in np.unique(text_words.counts[short]).tolist():
        alike = short[text_words.counts[short] == words]
        hashes[whole[alike]] = _rolled(text_words.hashes, words)[starts[alike]]
    return Runs(scattered(hashes), counts)


def run_hashes_at(text_words: Runs, length: int, places: Ints) -> tuple[Hashes, Ints]:
    """The runs of `length` words that begin at some `places` among all words, with their texts; none beyond a text."""
    ends = np.cumsum(text_words.counts)
    owners = np.searchsorted(ends, places, side="right")
    whole = places + length <= ends[owners]
    places, owners = places[whole], owners[whole]
    total = np.zeros(len(places), dtype=np.uint64)
    for place in range(length):
        total = (total + text_words.hashes[places + place]) * BASE
    return scattered(total), owners


def _rolled(hashes: Hashes, length: int) -> Hashes:
    """Of `length` neighbours from each place on, their sum weighted by rising powers of BASE."""
    size = max(len(hashes) - length + 1, 0)
    total = np.zeros(size, dtype=np.uint64)
    for place in range(length):
        total = (total + hashes[place : place + size]) * BASE
    return total


def _within_texts(counts: Ints, length: int) -> Booleans:
    """For each place that `length` words follow, whether all of them are of one text."""
    within = np.ones(max(int(counts.sum()) - length + 1, 0), dtype=np.bool_)
    ends = np.cumsum(counts)
    for left in range(1, length):  # words from the place to the end of its text
        places = ends[counts >= left] - left
        within[places[places < len(within)]] = False
    return within


def starts_of(counts: Ints) -> Ints:
    """Where each of consecutive runs of these lengths begins."""
    return np.cumsum(counts) - counts


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The indices start, start + 1, … of every run, one run after the other."""
    return np.arange(counts.sum()) + np.repeat(starts - starts_of(counts), counts)
