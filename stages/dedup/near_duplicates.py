"""Finds near-duplicates among distinct texts: shingles, candidates by MinHash, exact comparison, survivors."""

import math

import numpy as np
import polars as pl

from stages.dedup.minhash import find_buckets
from stages.dedup.shingle_sets import Likeness, sets_of_likely_rows
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Matches, match
from stages.dedup.templates import template_shingles
from stages.word_runs import Runs, run_hashes, word_hashes

TEXTS_AT_ONCE = 32_768  # bounds the memory that words take


def find_near_duplicates(texts: pl.Series, sources: pl.Series, params: DedupParams) -> Matches:
    """Matches between positions of `texts`, which stand best row first; `sources` names the source of each."""
    group_similarity = math.inf if params.group_similarity is None else params.group_similarity
    least_similarity = min(params.min_similarity, group_similarity)
    if texts.is_empty():
        return Matches.none()
    parts = _shingles(texts, params.shingle_words)
    share = params.max_row_share
    templates = np.zeros(0, dtype=np.uint64) if share is None else template_shingles(parts, sources, share)
    sets = sets_of_likely_rows(parts, templates, least_similarity)
    buckets = find_buckets(sets, least_similarity, params.seed)
    found = match(buckets, Likeness(sets), params.min_similarity, group_similarity)
    return Matches(
        removed=sets.rows[found.removed],
        survivor=sets.rows[found.survivor],
        similarity=found.similarity.astype(np.float64),
        left=sets.rows[found.left],
        right=sets.rows[found.right],
    )


def _shingles(texts: pl.Series, shingle_words: int) -> list[Runs]:
    """The shingles of `texts` in parts; a text with fewer words than a shingle is one shingle, one without words none."""
    parts = (texts.slice(first, TEXTS_AT_ONCE) for first in range(0, len(texts), TEXTS_AT_ONCE))
    return [run_hashes(word_hashes(part), shingle_words, short_texts=True) for part in parts]
