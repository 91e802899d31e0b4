"""Finds template: shingles in so many rows of one source that sharing them says nothing about likeness."""

import numpy as np

from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import Runs

LEAST_ROWS = 50  # in a small source a few near-duplicates are already a large part
SAMPLE_ROWS = 10_000  # of a source; a shingle in 5 % of its rows is then counted to within 0.5 % (two deviations)


def sampled_rows(keys: Hashes, source: Ints) -> Booleans:
    """The SAMPLE_ROWS rows of each source with the lowest keys: the same rows in whatever order they came."""
    sampled = np.ones(len(keys), dtype=np.bool_)
    for number in np.flatnonzero(np.bincount(source) > SAMPLE_ROWS):
        rows = np.flatnonzero(source == number)
        sampled[rows[np.argpartition(keys[rows], SAMPLE_ROWS)[SAMPLE_ROWS:]]] = False
    return sampled


def template_shingles(sample: Runs, source: Ints, max_row_share: float) -> Hashes:
    """The shingles in more than `max_row_share` of the sampled rows of some source, and in more than LEAST_ROWS of them.

    `source` numbers the source of every sampled row.
    """
    least = np.maximum(np.bincount(source) * max_row_share, LEAST_ROWS)
    frequent, number, count = np.unique(sample.hashes, return_inverse=True, return_counts=True)
    often = count[number] > least.min()
    row = sample.owners[often]
    pairs = np.unique(number[often] * len(source) + row)  # a shingle counts once for a row
    shingle, row = np.divmod(pairs, max(len(source), 1))
    in_source, rows_with = np.unique(shingle * len(least) + source[row], return_counts=True)
    shingle, of = np.divmod(in_source, max(len(least), 1))
    return np.unique(frequent[shingle[rows_with > least[of]]])
