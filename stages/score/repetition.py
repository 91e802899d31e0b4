"""How much of a text repeats itself: runs of words, lines and paragraphs, by sorting hashes, text by text at once."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from stages.word_bytes import Booleans, Hashes, Ints
from stages.word_runs import Runs, run_hashes

SLICE_TEXTS = 1 << 16  # their numbers take 16 of 64 bits; the other 48 are the hash, alike however texts are split
TEXT_BITS = np.uint64(48)
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


def copied_share(answers: Runs, prompts: Runs) -> pl.Series:
    """Of the distinct hashes of each answer, those that its prompt has too; 0 where there are none."""
    pairs = zip(_slices(answers), _slices(prompts), strict=True)
    return pl.concat([_copied_share(answer, prompt) for answer, prompt in pairs])


def repetition(words: Runs, runs: Mapping[int, Runs], lines: Runs, paragraphs: Runs) -> dict[str, pl.Series]:
    """The signals about repetition and diversity of texts, given by hashes: of words, of runs of some lengths, of lines
    and of paragraphs.
    """
    found = {}
    repeats_some = np.ones(len(words.counts), dtype=np.bool_)
    for length, name in RUN_NAMES.items():
        repeats = _run_repeats(words, length, runs.get(length), repeats_some)
        found[f"repeated_{name}_share"] = repeats.repeated_share
        found[f"top_{name}_share"] = repeats.top_share
        repeats_some = repeats.distinct < repeats.items
    found["repeated_line_share"] = repeats_of(lines).repeated_share
    found["repeated_paragraph_share"] = repeats_of(paragraphs).repeated_share
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


def hashes_of(items: pl.Series) -> Runs:
    """Hashes of a column of lists of texts."""
    counts = items.list.len().to_numpy().astype(np.int64)
    return Runs(items.explode(empty_as_null=False).hash().to_numpy(), counts)


def _slices(runs: Runs) -> Iterator[Runs]:
    """Consecutive texts, at most SLICE_TEXTS at a time; one part at least."""
    ends = np.append(0, np.cumsum(runs.counts))
    for first in range(0, max(len(runs.counts), 1), SLICE_TEXTS):
        past = min(first + SLICE_TEXTS, len(runs.counts))
        yield Runs(runs.hashes[ends[first] : ends[past]], runs.counts[first:past])


def _keys(runs: Runs) -> Hashes:
    """Text number and hash in one number each, sorted: equal neighbours are equal hashes of one text."""
    keys = runs.owners.astype(np.uint64) << TEXT_BITS | runs.hashes >> np.uint64(16)
    keys.sort()
    return keys


def _repeats(runs: Runs) -> Repeats:
    keys, texts = _keys(runs), len(runs.counts)
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    owners = _texts(keys[first])
    most = np.zeros(texts, dtype=np.int64)
    np.maximum.at(most, owners, np.diff(np.append(first, len(keys))))
    return Repeats(runs.counts, np.bincount(owners, minlength=texts), most)


def _copied_share(answers: Runs, prompts: Runs) -> pl.Series:
    own, asked = _distinct(_keys(answers)), _distinct(_keys(prompts))
    texts = len(answers.counts)
    both = np.concatenate([own, asked])
    both.sort()
    shared = both[:-1][both[1:] == both[:-1]]
    return _share(np.bincount(_texts(shared), minlength=texts), np.bincount(_texts(own), minlength=texts))


def _distinct(keys: Hashes) -> Hashes:
    return np.asarray(keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]], dtype=np.uint64)


def _texts(keys: Hashes) -> Ints:
    return (keys >> TEXT_BITS).astype(np.int64)


def _share(part: Ints, whole: Ints) -> pl.Series:
    return pl.Series(np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0))
