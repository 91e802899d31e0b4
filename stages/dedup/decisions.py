"""Which rows of a corpus stay, which go and for whom, and which belong together."""

from typing import NamedTuple

import numpy as np

from stages.dedup.corpus import Corpus, first_alike, is_repeated
from stages.dedup.groups import connected
from stages.dedup.minhash import BandKeys, band_keys, bands_for, without
from stages.dedup.sharing import Occurrences, likely_rows
from stages.dedup.shingle_chunks import ShingleChunks
from stages.dedup.similarity import Floats, Similarity
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Matches, Thresholds, match
from stages.dedup.templates import sampled_rows, template_shingles
from stages.word_bytes import Booleans, Hashes, Ints
from stages.word_runs import Runs

STAYS = -1


class Decisions(NamedTuple):
    """One entry per row of the corpus, in its order."""

    survivor: Ints  # the row that stays in its place, STAYS for a row that stays itself
    similarity: Floats  # to the survivor
    is_copy: Booleans  # goes because its text is the survivor's
    is_conflict: Booleans  # goes because the survivor answers the same question
    group: Ints  # of rows that stay: the row with the lowest row_id among those that belong together
    answers: Ints  # rows that stay and answer the same question, itself with them
    templates: Hashes  # not per row: the shingles that were left out


class Candidates(NamedTuple):
    """Rows that can match another, best first, and their keys."""

    rows: Ints
    keys: BandKeys


def decide(corpus: Corpus, params: DedupParams) -> Decisions:
    """Exact copies first, then near-duplicates among the distinct texts, then groups of what stays."""
    same_text = first_alike(corpus.text)
    distinct = (same_text == np.arange(corpus.rows)) & (corpus.shingles.counts[corpus.sketch] > 0)
    templates, occurrences = survey(corpus, distinct, params)
    likely = _candidates(corpus, distinct, occurrences, templates, params)
    del occurrences  # the largest thing in memory
    similarity = Similarity(corpus.shingles, templates)
    found = _matches(corpus, likely, similarity, params)
    alike = similarity.compare(corpus.sketch[found.removed], corpus.sketch[found.survivor])[1]
    conflict = alike < params.min_similarity
    return _decisions(corpus, same_text, found, conflict, templates)


def thresholds_of(params: DedupParams) -> Thresholds:
    group = params.group_similarity
    return Thresholds(params.min_similarity, np.inf if group is None else group)


def survey(corpus: Corpus, distinct: Booleans, params: DedupParams) -> tuple[Hashes, Occurrences]:
    """The template shingles, and how often each shingle occurs among the distinct texts."""
    wanted = _by_sketch(corpus.sketch[distinct], corpus.shingles)
    occurrences = Occurrences(int(corpus.shingles.counts[wanted].sum()))
    sampled = np.flatnonzero(distinct)[sampled_rows(corpus.text[distinct, 0], corpus.source[distinct])]
    source = np.zeros(len(corpus.shingles.counts), dtype=np.int64)
    source[corpus.sketch[distinct]] = corpus.source[distinct]
    in_sample = _by_sketch(corpus.sketch[sampled], corpus.shingles)
    sample: list[Runs] = []
    for numbers, shingles in corpus.shingles.of(wanted):
        occurrences.add(shingles.hashes)
        sample.append(shingles.of_texts(in_sample[numbers]))
    if params.max_row_share is None or not sample:
        return np.zeros(0, dtype=np.uint64), occurrences
    joined = Runs(np.concatenate([part.hashes for part in sample]), np.concatenate([part.counts for part in sample]))
    return template_shingles(joined, source[np.flatnonzero(in_sample)], params.max_row_share), occurrences


def _by_sketch(sketches: Ints, shingles: ShingleChunks) -> Booleans:
    chosen = np.zeros(len(shingles.counts), dtype=np.bool_)
    chosen[sketches] = True
    return chosen


def _candidates(
    corpus: Corpus, distinct: Booleans, occurrences: Occurrences, templates: Hashes, params: DedupParams
) -> Candidates:
    place = np.full(len(corpus.shingles.counts), -1)
    place[corpus.sketch[distinct]] = np.flatnonzero(distinct)
    least = min(thresholds_of(params))
    bands = bands_for(least)
    contested = _contested(corpus, params)
    rows: list[Ints] = [np.zeros(0, np.int64)]
    keys: list[BandKeys] = [np.zeros((bands.bands, 0), np.uint32)]
    for numbers, shingles in corpus.shingles.of(place >= 0):
        likely = likely_rows(shingles, occurrences, least) | contested[place[numbers]]
        if likely.any():
            rows.append(place[numbers[likely]])
            keys.append(band_keys(without(shingles.of_texts(likely), templates), bands, params.seed))
    row = np.concatenate(rows)
    order = np.argsort(row)
    return Candidates(row[order], np.concatenate(keys, axis=1)[:, order])


def _contested(corpus: Corpus, params: DedupParams) -> Booleans:
    """Rows that another may replace because it answers the same question."""
    if params.conflicting_answers == "keep_all":
        return np.zeros(corpus.rows, dtype=np.bool_)
    return is_repeated(corpus.question)


def _matches(corpus: Corpus, likely: Candidates, similarity: Similarity, params: DedupParams) -> Matches:
    """Matches between rows of the corpus; with `keep_best` an equal question is one too."""
    rows, keys = likely.rows, likely.keys
    sketch, question = corpus.sketch[rows], corpus.question[rows]
    one_answer = params.conflicting_answers == "keep_best"
    if one_answer:
        keys = np.vstack([keys, first_alike(question).astype(np.uint32)[None, :]])

    def compare(left: Ints, right: Ints) -> tuple[Floats, Floats]:
        every, alike = similarity.compare(sketch[left], sketch[right])
        return every, np.where(same_question(question, left, right), 1.0, alike) if one_answer else alike

    found = match(keys, compare, thresholds_of(params))
    return found._replace(
        removed=rows[found.removed], survivor=rows[found.survivor], left=rows[found.left], right=rows[found.right]
    )


def same_question(question: Hashes, left: Ints, right: Ints) -> Booleans:
    same: Booleans = ((question[left] == question[right]) & (question[left] != 0).any(axis=1)[:, None]).all(axis=1)
    return same


def _decisions(corpus: Corpus, same_text: Ints, found: Matches, conflict: Booleans, templates: Hashes) -> Decisions:
    """A copy of a row that goes is itself as like the survivor as that row is, so it goes for the same reason."""
    survivor, likeness = np.full(corpus.rows, STAYS), np.ones(corpus.rows)
    survivor[found.removed], likeness[found.removed] = found.survivor, found.similarity
    is_conflict = np.zeros(corpus.rows, dtype=np.bool_)
    is_conflict[found.removed] = conflict
    first_goes = survivor[same_text] != STAYS
    is_copy = (same_text != np.arange(corpus.rows)) & ~first_goes
    survivor = np.where(is_copy, same_text, survivor[same_text])
    stays = survivor == STAYS
    return Decisions(
        survivor=survivor,
        similarity=np.where(is_copy, 1.0, likeness[same_text]),
        is_copy=is_copy,
        is_conflict=is_conflict[same_text] & first_goes,
        group=_groups(corpus, stays, found),
        answers=_answers(corpus, stays),
        templates=templates,
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
