"""Which rows of a corpus stay, which go and for whom, and which belong together."""

from typing import NamedTuple

import numpy as np

from stages.dedup.apart import match_apart
from stages.dedup.comparison import Comparison, template_of
from stages.dedup.corpus import Corpus, first_alike, is_repeated
from stages.dedup.groups import connected
from stages.dedup.similarity import Floats
from stages.dedup.sketches import NO_TEXT
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Matches
from stages.processes.engine import cluster_in_use
from stages.texts.word_bytes import Booleans, Hashes, Ints, scattered

STAYS = -1


class Decisions(NamedTuple):
    """One entry per row of the corpus, in its order."""

    survivor: Ints  # the row that stays in its place, STAYS for a row that stays itself
    similarity: Floats  # to the survivor
    is_copy: Booleans  # goes because its text is the survivor's
    is_conflict: Booleans  # goes because the survivor answers the same question
    group: Ints  # of rows that stay: the row with the lowest row_id among those that belong together
    answers: Ints  # rows that stay and answer the same question, itself with them


def comparison_of(corpus: Corpus, params: DedupParams) -> Comparison:
    """What has to be compared: the best row of each text that has words, or that competes for a question."""
    same_text = first_alike(_texts(corpus, params))
    stands_for_its_text = same_text == np.arange(corpus.rows)
    compared = stands_for_its_text & (corpus.shingles.counts[corpus.sketch] > 0)
    templates = template_of(corpus, compared, params)
    if params.conflicting_answers == "keep_best":
        compared |= stands_for_its_text & (is_repeated(corpus.question) | is_repeated(corpus.text))
    return Comparison(corpus, same_text, compared, templates, params)


def _texts(corpus: Corpus, params: DedupParams) -> Hashes:
    """What the copies of a row have in common with it: they go for whatever it goes for."""
    if params.conflicting_answers == "keep_all":
        return corpus.text
    both = scattered(corpus.text + scattered(corpus.question))
    return np.where((corpus.text == NO_TEXT).all(axis=1, keepdims=True), np.uint64(NO_TEXT), both)


def matches_of(comparison: Comparison) -> Matches:
    """Every text compared with every other that can be like it."""
    occurrences = comparison.shingles_of(comparison.with_words)
    rows = comparison.can_be_like(occurrences, 2, comparison.with_words) | comparison.by_turns
    del occurrences  # the largest thing in memory
    for key in (comparison.corpus.question, comparison.corpus.text) if comparison.matching else ():
        rows |= comparison.compared & is_repeated(key)
    cluster = cluster_in_use()
    return match_apart(comparison, rows, cluster) if cluster else comparison.match_among(rows)


def decide(comparison: Comparison, found: Matches) -> Decisions:
    """A copy of a row that goes is itself as like the survivor as that row is, so it goes for the same reason."""
    corpus, same_text = comparison.corpus, comparison.same_text
    survivor, likeness = np.full(corpus.rows, STAYS), np.ones(corpus.rows)
    survivor[found.removed], likeness[found.removed] = found.survivor, found.similarity
    is_conflict = np.zeros(corpus.rows, dtype=np.bool_)
    is_conflict[found.removed] = found.by_question
    first_goes = survivor[same_text] != STAYS
    survivor = np.where((same_text != np.arange(corpus.rows)) & ~first_goes, same_text, survivor[same_text])
    stays = survivor == STAYS
    has_text = (corpus.text != NO_TEXT).any(axis=1)
    is_copy = ~stays & has_text & (corpus.text == corpus.text[survivor]).all(axis=1)
    return Decisions(
        survivor=survivor,
        similarity=np.where(is_copy, 1.0, likeness[same_text]),
        is_copy=is_copy,
        is_conflict=is_conflict[same_text] & first_goes,
        group=_groups(corpus, stays, found),
        answers=_answers(corpus, stays),
    )


def _groups(corpus: Corpus, stays: Booleans, found: Matches) -> Ints:
    """Per row that stays the lowest row_id of those that are alike or open alike, as a row of the corpus."""
    kept = np.flatnonzero(stays)
    opens_like = kept[first_alike(corpus.opening[kept])]
    order = corpus.id_order
    lowest = connected(
        corpus.rows,
        np.concatenate([order[found.left], order[kept]]),
        np.concatenate([order[found.right], order[opens_like]]),
    )
    row_at = np.empty(corpus.rows, dtype=np.int64)
    row_at[order] = np.arange(corpus.rows)
    return row_at[lowest[order]]


def _answers(corpus: Corpus, stays: Booleans) -> Ints:
    answers = np.ones(corpus.rows, dtype=np.int64)
    kept = np.flatnonzero(stays)
    first = first_alike(corpus.question[kept])
    answers[kept] = np.bincount(first, minlength=len(kept))[first]
    return answers
