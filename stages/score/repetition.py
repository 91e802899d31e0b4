"""How much of a text repeats itself: runs of words, lines and paragraphs, by sorting hashes, text by text at once."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import Runs, run_hashes, starts_of

SLICE_TEXTS = 1 << 16  # their numbers take 16 of 64 bits; the other 48 are the hash, alike however texts are split
TEXT_BITS, HASH_SHIFT = np.uint64(48), np.uint64(16)
ASKED_BITS = 19  # of a hash, in a table of what prompts have that fits into a cache of a processor
ASKED_SHIFT = np.uint64(64 - ASKED_BITS)
WINDOW_WORDS = 50  # the share of distinct words falls with length, so it is taken over windows (MATTR, Covington 2010)
RUN_NAMES = {2: "bigram", 3: "trigram", 4: "fourgram"}


class Repeats(NamedTuple):
    """By text: items, distinct items, and how often the most frequent one stands there."""

    items: Ints
    distinct: Ints
    most: Ints

    @property
    def repeated_share(self) -> pl.Series:
        """Of the items, those that stood there before; 0 where there are none."""
        return _share(self.items - self.distinct, self.items)

    @property
    def top_share(self) -> pl.Series:
        """Of the items, those that are the most frequent one; 0 where each stands there once."""
        return _share(np.where(self.most > 1, self.most, 0), self.items)


def repeats_of(runs: Runs) -> Repeats:
    """Counts of equal hashes within each text."""
    parts = [_repeats(part) for part in _slices(runs)]
    return Repeats(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def copied_share(answers: Runs, prompts: Runs, distinct: Ints) -> pl.Series:
    """Of the `distinct` hashes of each answer, those that its prompt has too; 0 where there are none."""
    asked = np.zeros(1 << ASKED_BITS, dtype=np.bool_)
    asked[prompts.hashes >> ASKED_SHIFT] = True
    perhaps = answers.at(np.flatnonzero(asked[answers.hashes >> ASKED_SHIFT]))  # of this prompt or of another one
    pairs = zip(_slices(perhaps), _slices(prompts), strict=True)
    return _share(np.concatenate([_copied(answer, prompt) for answer, prompt in pairs]), distinct)


def run_repeats(words: Runs, runs: Mapping[int, Runs]) -> dict[int, Repeats]:
    """By their lengths, the RUN_NAMES of texts, given by the hashes of their words and of runs of some lengths."""
    found = {}
    repeats_some = np.ones(len(words.counts), dtype=np.bool_)
    for length in RUN_NAMES:
        found[length] = _run_repeats(words, length, runs.get(length), repeats_some)
        repeats_some = found[length].distinct < found[length].items
    return found


def repetition(words: Runs, runs: Mapping[int, Repeats]) -> dict[str, pl.Series]:
    """The signals about repetition and diversity of texts, given the hashes of their words, and what of their runs
    repeats.
    """
    found = {}
    for length, name in RUN_NAMES.items():
        found[f"repeated_{name}_share"] = runs[length].repeated_share
        found[f"top_{name}_share"] = runs[length].top_share
    found["distinct_word_share"] = distinct_word_share(words)
    return found


def _run_repeats(words: Runs, length: int, runs: Runs | None, repeats_some: Booleans) -> Repeats:
    """Of the runs of `length` words; a run stands twice only in a text where a shorter run does (`repeats_some`)."""
    items = np.maximum(words.counts - length + 1, 0)
    if repeats_some.all() and runs:
        return repeats_of(runs)
    read = repeats_of(runs.of_texts(repeats_some) if runs else run_hashes(words.of_texts(repeats_some), length))
    distinct, most = items.copy(), np.minimum(items, 1)
    distinct[repeats_some], most[repeats_some] = read.distinct, read.most
    return Repeats(items, distinct, most)


def distinct_word_share(words: Runs) -> pl.Series:
    """Distinct words over words, within windows of WINDOW_WORDS words; null for a text without words."""
    windows = -(-words.counts // WINDOW_WORDS)
    lengths = np.full(windows.sum(), WINDOW_WORDS)
    last = np.cumsum(windows)[windows > 0] - 1
    lengths[last] = words.counts[windows > 0] - (windows[windows > 0] - 1) * WINDOW_WORDS
    distinct = repeats_of(Runs(words.hashes, lengths)).distinct
    owners = np.repeat(np.arange(len(windows)), windows)
    totals = np.bincount(owners, weights=distinct, minlength=len(windows))
    share = _share(totals, words.counts)
    return share.set(pl.Series(words.counts == 0), None)


def _slices(runs: Runs) -> Iterator[Runs]:
    """Consecutive texts, at most SLICE_TEXTS at a time; one part at least."""
    ends = np.append(0, np.cumsum(runs.counts))
    for first in range(0, max(len(runs.counts), 1), SLICE_TEXTS):
        past = min(first + SLICE_TEXTS, len(runs.counts))
        yield Runs(runs.hashes[ends[first] : ends[past]], runs.counts[first:past])


def _keys(runs: Runs) -> Hashes:
    """Text number and hash in one number each, sorted: equal neighbours are equal hashes of one text."""
    texts = np.arange(len(runs.counts), dtype=np.uint64) << TEXT_BITS
    keys: Hashes = np.repeat(texts, runs.counts) | runs.hashes >> HASH_SHIFT
    keys.sort()
    return keys


def _repeats(runs: Runs) -> Repeats:
    keys = _keys(runs)
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    filled = runs.counts > 0
    starts = np.searchsorted(first, starts_of(runs.counts)[filled])  # the first of each text's distinct hashes
    distinct, most = np.zeros_like(runs.counts), np.zeros_like(runs.counts)
    distinct[filled] = np.diff(np.append(starts, len(first)))
    if len(starts):
        most[filled] = np.maximum.reduceat(np.diff(np.append(first, len(keys))), starts)
    return Repeats(runs.counts, distinct, most)


def _copied(answers: Runs, prompts: Runs) -> Ints:
    """How many distinct hashes of each answer its prompt has too."""
    both = np.concatenate([_distinct(_keys(answers)), _distinct(_keys(prompts))])
    both.sort()
    shared = both[:-1][both[1:] == both[:-1]]
    return np.bincount((shared >> TEXT_BITS).astype(np.int64), minlength=len(answers.counts))


def _distinct(keys: Hashes) -> Hashes:
    return np.asarray(keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]], dtype=np.uint64)


def _share(part: Ints, whole: Ints) -> pl.Series:
    return pl.Series(np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0))
