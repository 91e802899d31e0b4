"""Rows as vectors that tell how alike they are: by their words, or by a model's embeddings."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import ConfigError
from stages.texts.word_bytes import scattered
from stages.texts.word_runs import word_hashes

Matrix = npt.NDArray[np.float32]
DIMENSIONS = 256
ROWS_AT_ONCE = 16_384  # bounds the memory of weighing their words


def text_vectors(texts: pl.Series) -> Matrix:
    """One vector of length 1 per text: its words, the rarer the heavier, hashed into DIMENSIONS with a sign (TF-IDF)."""
    blocks = [_word_counts(texts.slice(first, ROWS_AT_ONCE)) for first in range(0, len(texts), ROWS_AT_ONCE)]
    if not blocks:
        return np.zeros((0, DIMENSIONS), dtype=np.float32)
    holders = pl.concat([block.group_by("word").len("texts") for block in blocks]).group_by("word").agg(pl.sum("texts"))
    weights = holders.select("word", weight=(len(texts) / pl.col("texts")).log1p())
    heights = [min(ROWS_AT_ONCE, len(texts) - first) for first in range(0, len(texts), ROWS_AT_ONCE)]
    return np.concatenate([_hashed(block, weights, rows) for block, rows in zip(blocks, heights, strict=True)])


def _word_counts(texts: pl.Series) -> pl.DataFrame:
    """owner, word (a hash) and count."""
    words = word_hashes(texts.fill_null(""))
    said = pl.DataFrame({"owner": words.owners, "word": words.hashes})
    return said.group_by("owner", "word").agg(count=pl.len())


def _hashed(counted: pl.DataFrame, weights: pl.DataFrame, rows: int) -> Matrix:
    weighed = counted.join(weights, on="word").sort("owner", "word")
    place = scattered(weighed["word"].to_numpy()) % np.uint64(2 * DIMENSIONS)
    cell = weighed["owner"].to_numpy() * DIMENSIONS + (place // 2).astype(np.int64)
    value = (1 + np.log(weighed["count"].to_numpy())) * weighed["weight"].to_numpy()
    value[place % 2 == 1] *= -1
    return scaled(np.bincount(cell, value, minlength=rows * DIMENSIONS).reshape(rows, DIMENSIONS))


def scaled(vectors: npt.NDArray[Any]) -> Matrix:
    """The vectors with length 1, but for those of no length."""
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    made: Matrix = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
    return made


def model_vectors(rows: pl.DataFrame) -> Matrix:
    """The rows' embeddings without what all of them share, of length 1; a row without one is unlike every other.

    The mean is taken off because the vectors of a language model all point nearly the same way (Mu and Viswanath 2018).
    Raises ConfigError where no row has an embedding.
    """
    known = rows["embedding"].is_not_null() if "embedding" in rows.columns else pl.Series([False])
    if not known.any():
        raise ConfigError(
            "mix: alike_by is embedding, and no row has one; set embed under rate in the profile, or alike_by: words"
        )
    found = np.array(rows["embedding"].filter(known).to_list(), dtype=np.float32)
    vectors: Matrix = np.zeros((rows.height, found.shape[1]), dtype=np.float32)
    vectors[known.to_numpy()] = scaled(found - found.mean(axis=0))
    return vectors
