"""Finds evaluation texts of which a row says nearly every word, in order: cut at an end, or with a word changed, left out
or put in. A text that is too short to keep a long run of words then is told by what the words say that are still there.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.decontaminate.eval_index import MANY_TEXTS, PAIRS, SHORT_WORDS, Sieve
from stages.decontaminate.features import Floats, Weights
from stages.decontaminate.lexicon import concept_of
from stages.texts.word_bytes import Booleans, Ints
from stages.texts.word_runs import Runs, ranges, run_hashes, starts_of, word_hashes

ANCHOR_WORDS = 4  # a run that both have; of nine words with one changed one is left
MAX_MISSING, WORDS_PER_MISSING = 2, 5  # words that may be missing, and at most one of so many
LEAST_SHARE = 0.65  # of what the words weigh: "What is the capital of Spain?" has five words of six, half of the weight
LEAST_SAID = 10.0  # weight of the words that are there: about two that are rare
KEPT_RUNS = 3  # a text of so many times the words of a run keeps half of its runs, whatever word is changed
WORDS_AT_ONCE = 4_000_000


class NearIndex(NamedTuple):
    """Texts that a changed word can hide."""

    texts: Ints  # their numbers
    words: Runs
    weights: Floats  # of each of the words
    runs: pl.DataFrame  # run: hash, entry: which of the texts, position: of the run's first word
    sieve: Sieve
    allowed: Ints  # per entry, how many words may be missing
    least: Ints  # and how many of its runs are left on one side of a word put in or left out, at the least


def build_near_index(texts: pl.DataFrame, weights: Weights, ngram_words: int) -> NearIndex:
    """The index of those `texts` (text: number, words, phrase) that say enough and are not long."""
    count = pl.col("words").list.len()
    chosen = texts.filter(count > SHORT_WORDS, count < KEPT_RUNS * ngram_words)
    words = word_hashes(chosen["phrase"])
    anchors = run_hashes(words, ANCHOR_WORDS)
    runs = pl.DataFrame(
        {
            "run": anchors.hashes,
            "entry": anchors.owners,
            "position": ranges(np.zeros_like(anchors.counts), anchors.counts),
        }
    )
    own = runs.filter(pl.col("entry").n_unique().over("run") <= MANY_TEXTS)
    said = _weights(chosen["words"].explode(empty_as_null=False), weights)
    allowed = np.clip(words.counts // WORDS_PER_MISSING, 1, MAX_MISSING)
    left = np.bincount(own["entry"].to_numpy(), minlength=chosen.height) - ANCHOR_WORDS * allowed
    least = np.maximum((left + 1) // 2, 1)
    return NearIndex(chosen["text"].to_numpy(), words, said, own, Sieve.of(own["run"].to_numpy()), allowed, least)


def _weights(words: pl.Series, weights: Weights) -> Floats:
    known = dict(weights.words.select("concept", "weight").iter_rows())
    different = words.unique().to_list()
    of_words = [known.get(concept_of(word), weights.unseen) for word in different]
    return words.replace_strict(different, of_words, return_dtype=pl.Float64).to_numpy()


def near_copies(row_words: Runs, index: NearIndex) -> pl.DataFrame:
    """Which texts nearly stand in which rows: the columns PAIRS. The overlap is the share of the weight of its words."""
    every = run_hashes(row_words, ANCHOR_WORDS)
    likely = index.sieve.passed(every.hashes)
    places = ranges(starts_of(row_words.counts), every.counts)
    found = pl.DataFrame({"run": every.hashes[likely], "row": every.owners[likely], "place": places[likely]})
    begun = (
        found.join(index.runs, on="run")
        .group_by("row", "entry", begin=pl.col("place") - pl.col("position"))
        .agg(runs=pl.len())
        .filter(pl.col("runs") >= pl.lit(pl.Series(index.least)).gather(pl.col("entry")))
        .sort("row", "entry", "begin")
    )
    step = max(1, WORDS_AT_ONCE // max(int(index.words.counts.max(initial=1)), 1))
    checked = [_checked(begun.slice(first, step), row_words, index) for first in range(0, begun.height, step)]
    best_first = pl.concat([pl.DataFrame(schema=PAIRS), *checked]).sort(
        "row", "text", -pl.col("overlap"), maintain_order=True
    )
    return best_first.unique(["row", "text"], keep="first", maintain_order=True)


def _checked(begun: pl.DataFrame, row_words: Runs, index: NearIndex) -> pl.DataFrame:
    """Of rows and texts that may begin at a word of the row, those of which enough words stand where they should, or
    one word before or behind.
    """
    entry, row, begin = (begun[name].to_numpy() for name in ("entry", "row", "begin"))
    counts = index.words.counts[entry]
    pair, place = np.repeat(np.arange(len(entry)), counts), ranges(np.zeros_like(counts), counts)
    at = starts_of(index.words.counts)[entry][pair] + place
    first = starts_of(row_words.counts)[row]
    last = first + row_words.counts[row] - 1
    said = np.zeros(len(pair), dtype=np.bool_)
    for shift in (-1, 0, 1):
        there = begin[pair] + place + shift
        within = (there >= first[pair]) & (there <= last[pair])
        said |= within & (row_words.hashes[np.clip(there, 0, len(row_words.hashes) - 1)] == index.words.hashes[at])
    weight = index.weights[at]
    held, whole = np.bincount(pair, weight * said), np.bincount(pair, weight)
    missing = counts - np.bincount(pair, said)
    near = (missing <= index.allowed[entry]) & (held >= LEAST_SHARE * whole) & (held >= LEAST_SAID)
    runs = _longest_runs(pair[near[pair]], place[near[pair]], said[near[pair]])
    return (
        pl.DataFrame(
            {
                "pair": np.flatnonzero(near),
                "row": row[near],
                "text": index.texts[entry[near]],
                "overlap": (held / whole)[near],
            }
        )
        .join(runs, on="pair", maintain_order="left")
        .select(pl.col(name).cast(dtype) for name, dtype in PAIRS.items())
    )


def _longest_runs(pair: Ints, place: Ints, said: Booleans) -> pl.DataFrame:
    """pair, first and shared_words: of the words of each pair the longest run that the row says."""
    words = pl.DataFrame({"pair": pair, "place": place, "run": np.cumsum(~said), "said": said})
    runs = words.filter("said").group_by("pair", "run").agg(first=pl.col("place").min(), shared_words=pl.len())
    best_first = runs.sort("pair", -pl.col("shared_words").cast(pl.Int64), "first")
    return best_first.unique("pair", keep="first", maintain_order=True).drop("run")
