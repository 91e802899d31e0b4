"""Prompts that ask nearly the same: most of their runs of words are the same, or all of their words but one."""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.texts.word_bytes import Hashes, Ints, scattered
from stages.texts.word_runs import BASE, Runs, may_repeat, run_hashes, starts_of, word_hashes

RUN_WORDS = 3
MOST_HOLDERS = 50  # prompts; words that stand in more are those of a template, whose blanks are filled in
LEAST_WORDS = 5  # of the longer of two prompts that differ in one word: "What is a dam?" is not "What is a gene?"
AT_ONCE = 100_000  # of runs and of pairs; bounds the memory of comparing prompts
KEYS_AT_ONCE = 4_000_000  # bounds the memory of finding equal ones
ROUNDING = 1e-9
IS_TELLING = pl.col("holders") <= MOST_HOLDERS
Links = tuple[Ints, Ints]  # places of prompts


def alike_prompts(prompts: pl.Series, least_similarity: float) -> Links:
    """Prompts that are linked with one another: of each link the places of both.

    Two are linked when the Jaccard similarity of their runs of RUN_WORDS words is at least that high, with and without
    the runs of templates; all such pairs are found. So are those that differ in one word: put in, left out or replaced.
    """
    words = word_hashes(prompts)
    links = (_sharing_runs(words, least_similarity), _one_word_apart(words))
    left, right = (np.concatenate(side) for side in zip(*links, strict=True))
    return left, right


class Held(NamedTuple):
    """Which prompts hold which keys."""

    several: pl.DataFrame  # prompt, key, each pair once, and holders, how many prompts hold the key
    lone: Ints  # by prompt: further keys, all different, that no other prompt holds


def _sharing_runs(words: Runs, least_similarity: float) -> Links:
    runs = run_hashes(words, RUN_WORDS)
    held, lone = _held(runs.owners, runs.hashes, len(runs.counts))
    sizes = (
        held.group_by("prompt").agg(several=pl.len(), telling=IS_TELLING.sum())
        .join(pl.DataFrame({"prompt": np.arange(len(lone)), "lone": lone}), on="prompt")
        .select("prompt", runs=pl.col("lone") + pl.col("several"), own=pl.col("lone") + pl.col("telling"))
    )  # fmt: skip
    shared = held.filter(pl.col("holders") > 1)
    looked_up = _rarest(shared.filter(IS_TELLING), sizes, least_similarity).select("key", "prompt")
    parts = [
        _alike(pairs, shared, sizes, least_similarity)
        for part in looked_up.iter_slices(AT_ONCE)
        for pairs in _pairs(part, looked_up).iter_slices(AT_ONCE)
    ]
    alike = pl.concat([_pairs(looked_up.clear(), looked_up), *parts])
    return alike["left"].to_numpy(), alike["right"].to_numpy()


def _held(prompts: Ints, keys: Hashes, count: int) -> Held:
    """Of `count` prompts; each of `keys` belongs to the prompt in the same place."""
    parts = len(keys) // KEYS_AT_ONCE + 1
    part = keys % np.uint64(parts)
    found, lone = [], np.zeros(count, dtype=np.int64)
    for number in range(parts):
        of_part = np.flatnonzero(part == number)
        several = may_repeat(keys[of_part])
        lone += np.bincount(prompts[of_part[~several]], minlength=count)
        held = pl.DataFrame({"prompt": prompts[of_part[several]], "key": keys[of_part[several]]}).unique()
        found.append(held.with_columns(holders=pl.len().over("key")))
    return Held(pl.concat(found), lone)


def _rarest(shared: pl.DataFrame, sizes: pl.DataFrame, least_similarity: float) -> pl.DataFrame:
    """Of each prompt so many of its rarest runs that it shares one of them with every prompt that is so like it.

    Prefix filter, Chaudhuri et al. 2006. Runs that one prompt alone holds, the rarest of all, are not in `shared`.
    """
    alone = pl.col("own") - pl.len().over("prompt")
    must_share = (pl.col("own") * least_similarity - ROUNDING).ceil()
    place = pl.int_range(pl.len()).over("prompt") + alone
    ordered = shared.join(sizes, on="prompt").sort("prompt", "holders", "key")
    return ordered.filter(place <= pl.col("own") - must_share)


def _pairs(some: pl.DataFrame, looked_up: pl.DataFrame) -> pl.DataFrame:
    """`some` prompts with those behind them that share one of the runs."""
    return (
        some.join(looked_up, on="key", suffix="_right")
        .filter(pl.col("prompt") < pl.col("prompt_right"))
        .select(left="prompt", right="prompt_right").unique()
    )  # fmt: skip


def _alike(pairs: pl.DataFrame, shared: pl.DataFrame, sizes: pl.DataFrame, least_similarity: float) -> pl.DataFrame:
    """Those of the pairs that are so like each other."""
    both = (
        pairs.join(shared.rename({"prompt": "left"}), on="left")
        .join(shared.select("key", right="prompt"), on=["right", "key"])
        .group_by("left", "right").agg(runs_of_both=pl.len(), own_of_both=IS_TELLING.sum())
    )  # fmt: skip
    for side in ("left", "right"):
        both = both.join(sizes.rename({"prompt": side}), on=side, suffix="_right")
    similarity = [
        pl.col(f"{of}_of_both") / (pl.col(of) + pl.col(f"{of}_right") - pl.col(f"{of}_of_both"))
        for of in ("runs", "own")
    ]
    return both.filter(pl.min_horizontal(similarity) >= least_similarity - ROUNDING).select("left", "right")


def _one_word_apart(words: Runs) -> Links:
    """Prompts that are the same when one or both lose a word, each linked with the first of them."""
    numbers = np.arange(len(words.counts))
    long, nearly_long = words.counts >= LEAST_WORDS, words.counts >= LEAST_WORDS - 1
    prompts = np.concatenate([numbers[nearly_long], np.repeat(numbers[long], words.counts[long])])
    sums = np.concatenate([_sums(words.of_texts(nearly_long))[1], _without_one(words.of_texts(long))])
    several = _held(prompts, scattered(sums), len(words.counts)).several
    same = several.filter(IS_TELLING).with_columns(first=pl.col("prompt").min().over("key"))
    return same["first"].to_numpy(), same["prompt"].to_numpy()


def _without_one(words: Runs) -> Hashes:
    """For each word the sum of its text without it."""
    so_far, _ = _sums(words)
    starts = starts_of(words.counts)
    before = so_far[:-1] - np.repeat(so_far[starts], words.counts)
    after = np.repeat(so_far[starts + words.counts], words.counts) - so_far[1:]
    return before + after * np.uint64(pow(int(BASE), -1, 2**64))  # those behind it move up by one place


def _sums(words: Runs) -> tuple[Hashes, Hashes]:
    """Of all words up to each, every one times BASE to the power of its place in its text; and of each text."""
    starts = starts_of(words.counts)
    powers = np.cumprod(np.full(int(words.counts.max(initial=0)) + 1, BASE, dtype=np.uint64))
    places = np.arange(len(words.hashes)) - np.repeat(starts, words.counts)
    so_far = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words.hashes * powers[places], dtype=np.uint64)])
    return so_far, so_far[starts + words.counts] - so_far[starts]
