"""Finds, for each text, the evaluation texts that say the same in other words, and how surely.

The score is words x (0.4 + numbers) / 1.4 x shared / (shared + 6), each part 0-1: cosine of what the words stand for,
agreement of the numbers, and how much the words and numbers weigh that they share. A product, since a sum in other words
keeps its numbers, and another sum about the same things has other ones. The same answer raises the score by up to two
fifths, another final number takes a tenth, another short answer up to a quarter. Runs of characters have no part in it:
they make questions of one set alike that are not, and items in other words share few. The figures were chosen on
rephrasings of some 270 items of eight evaluation sets, written by hand or published (Yang et al. 2023, arXiv 2311.04850).
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.decontaminate.features import Features, Floats, Sparse, content_concepts
from stages.texts.word_bytes import Booleans, Ints
from stages.texts.word_runs import ranges, starts_of

LEAST_WORDS_COSINE = 0.2  # of a pair that is looked at more closely
CANDIDATES = 6  # per text, that are compared in full
MAX_ITEM_SHARE = 0.05  # a word in more of the items than this finds nothing: it would find everything
CELLS_AT_ONCE = 400_000  # pairs scored together: 3 MB, which a cache holds
ENTRIES_AT_ONCE = 4_000_000
NO_NUMBERS = 0.5  # agreement of texts that have no numbers
NUMBERS_NEEDED = 2.0  # weight of numbers that counts as much as having none
NUMBERS_FLOOR = 0.4
FEW_SHARED = 6.0  # weight of the shared words and numbers at which the score is half of what it would be with many
OWN_FACTOR = 2.0  # a row says an item's own words, too, if in other words and among words of the template
SAME_ANSWER, OTHER_NUMBER, OTHER_ANSWER = 0.4, 0.1, 0.25
SHORT_ANSWER = 4  # content words, up to which an answer in other words still has most of them
LEAST_SCORE = 0.3  # what is less alike is no rephrasing, whatever the set
LEAST_UNANSWERED = LEAST_SCORE / (1 + SAME_ANSWER)  # what the same answer can raise to it


class Pairs(NamedTuple):
    """Texts and the evaluation texts that are near them."""

    left: Ints
    right: Ints
    score: Floats  # 0-1, 1 = the same


class Texts(NamedTuple):
    """Texts to compare, each with the words of the answer that belongs to it and the final number; NaN without one."""

    features: Features
    numbers: Floats
    answers: pl.Series  # words between spaces; null without an answer
    own: Features | None = None  # of items: without what other items of the file say in the same words


def score_pairs(asked: Texts, known: Texts, apart: tuple[Ints, Ints] | None = None) -> Pairs:
    """The nearest items of each text with their scores: all from LEAST_SCORE on, and some below.

    `apart` numbers texts and items that are never compared.
    """
    texts, items = asked.features, known.features
    left, right, nearness = _candidates(texts.words, items.words)
    if apart is not None:
        keep = apart[0][left] != apart[1][right]
        left, right, nearness = left[keep], right[keep], nearness[keep]
    agreement = _number_agreement(texts.numbers, items.numbers, left, right)
    best = _best_of_each(left, nearness * (NUMBERS_FLOOR + agreement))
    left, right, agreement = left[best], right[best], agreement[best]
    score = _likeness(texts, items, left, right, agreement)
    near = score >= LEAST_UNANSWERED
    left, right, agreement, score = left[near], right[near], agreement[near], score[near]
    if known.own is not None:  # a whole item is like others that share its template, its own words are not
        own = _likeness(texts, known.own, left, right, agreement)
        score = np.minimum(score, OWN_FACTOR * own)
    same, other = _compared_answers(asked, known, left, right)
    score = np.where(same, score + SAME_ANSWER * score * (1 - score), score - OTHER_NUMBER * score * other)
    # Only where it matters: looking at every answer would cost most of the time.
    told = np.flatnonzero(~same & np.isnan(known.numbers[right]) & (score >= LEAST_SCORE))
    score[told] -= OTHER_ANSWER * score[told] * _missing_share(asked.answers, known.answers, left[told], right[told])
    return Pairs(left, right, np.clip(score, 0, 1))


def _likeness(texts: Features, items: Features, left: Ints, right: Ints, agreement: Floats) -> Floats:
    """The score without the answers."""
    shared = _dots(texts.meanings, items.meanings, left, right)
    factor = (NUMBERS_FLOOR + agreement) / (NUMBERS_FLOOR + 1) * shared / (shared + FEW_SHARED)
    return _dots(texts.words, items.words, left, right) * factor


def _compared_answers(asked: Texts, known: Texts, left: Ints, right: Ints) -> tuple[Booleans, Booleans]:
    """Whether both end in the same number, or else the item's answer stands in the other; and whether in other numbers."""
    one, other = asked.numbers[left], known.numbers[right]
    comparable = ~np.isnan(one) & ~np.isnan(other)
    same: Booleans = comparable & np.isclose(one, other)
    pairs = pl.DataFrame({"said": asked.answers.gather(left), "wanted": known.answers.gather(right)})
    holds = pairs.select(pl.col("said").str.contains(pl.col("wanted"), literal=True).fill_null(value=False))
    return same | (~comparable & holds.to_series().to_numpy()), comparable & ~same


def _missing_share(said: pl.Series, wanted: pl.Series, left: Ints, right: Ints) -> Floats:
    """Of the content words of a short answer that an item wants, those that are not said; 0 where nothing is said."""
    pairs = pl.DataFrame(
        {"said": content_concepts(said.gather(left)), "wanted": content_concepts(wanted.gather(right))}
    )
    count = pl.col("wanted").list.len()
    comparable = (pl.col("said").list.len() > 0) & count.is_between(1, SHORT_ANSWER)
    missing = pl.col("wanted").list.set_difference("said").list.len() / count
    return pairs.select(pl.when(comparable).then(missing).otherwise(0.0)).to_series().to_numpy()


def _candidates(texts: Sparse, items: Sparse) -> tuple[Ints, Ints, Floats]:
    """Pairs whose rarer words have a cosine of LEAST_WORDS_COSINE."""
    by_id = np.argsort(items.id, kind="stable")
    ids = int(items.id.max(initial=-1)) + 1
    holders = np.bincount(items.id[items.id >= 0], minlength=ids)
    starts = starts_of(holders) + (items.id < 0).sum()
    finds = holders <= max(50, MAX_ITEM_SHARE * items.texts)
    known = (texts.id >= 0) & (texts.id < ids)
    known[known] &= finds[texts.id[known]]
    owner, word, value = texts.owner[known], texts.id[known], texts.value[known]
    held_by, held_value = items.owner[by_id], items.value[by_id]  # those of one word side by side
    block = max(1, CELLS_AT_ONCE // max(items.texts, 1))
    found = []
    for first in range(0, texts.texts, block):
        part = slice(*np.searchsorted(owner, [first, first + block]))
        each = holders[word[part]]
        entry, at = np.repeat(np.arange(len(each)), each), ranges(starts[word[part]], each)
        cell = ((owner[part] - first) * items.texts)[entry] + held_by[at]
        cosine = np.bincount(cell, value[part][entry] * held_value[at])
        near = np.flatnonzero(cosine >= LEAST_WORDS_COSINE)
        found.append((near // items.texts + first, near % items.texts, cosine[near]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def _best_of_each(left: Ints, nearness: Floats) -> Ints:
    """Where the CANDIDATES nearest of each text stand; of equals the first."""
    order = np.lexsort((-nearness, left))
    counts = np.bincount(left) if len(left) else np.zeros(0, np.int64)
    return np.sort(order[ranges(np.zeros_like(counts), counts) < CANDIDATES])


def _number_agreement(texts: Sparse, items: Sparse, left: Ints, right: Ints) -> Floats:
    """Twice the weight of the shared numbers over the weight of all of them; NO_NUMBERS where there are none."""
    shared = _dots(texts, items, left, right)
    every = texts.squares[left] + items.squares[right]
    return (2 * shared + NUMBERS_NEEDED * NO_NUMBERS) / (every + NUMBERS_NEEDED)


def _dots(texts: Sparse, items: Sparse, left: Ints, right: Ints) -> Floats:
    """The sum of the products of what both texts of a pair have."""
    base = 1 << 32
    members = items.owner * base + items.id
    starts, counts = starts_of(texts.counts), texts.counts
    dots = np.zeros(len(left))
    if not len(members):
        return dots
    by_item = np.argsort(right, kind="stable")  # what is looked up next then stands near in memory
    step = max(1, ENTRIES_AT_ONCE // max(int(counts.max(initial=1)), 1))
    for first in range(0, len(left), step):
        pairs = by_item[first : first + step]
        each = counts[left[pairs]]
        at = ranges(starts[left[pairs]], each)
        pair = np.repeat(np.arange(len(pairs)), each)
        wanted = np.repeat(right[pairs] * base, each) + texts.id[at]
        place = np.minimum(np.searchsorted(members, wanted), len(members) - 1)
        found = (members[place] == wanted) & (texts.id[at] >= 0)
        dots[pairs] = np.bincount(pair[found], texts.value[at[found]] * items.value[place[found]], minlength=len(pairs))
    return dots
