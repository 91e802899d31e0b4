"""Chooses rows that are good and unlike one another (in the spirit of LIMA, Zhou et al. 2023, by k-center greedy).

k-center greedy: Sener and Savarese 2018; here each distance counts by the row's quality, so that a strange row is not
chosen for being strange alone.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import ConfigError
from stages.texts.conversation_text import normalised, words

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DIMENSIONS = 256
ROWS_AT_ONCE = 16_384


def select_rows(vectors: Matrix, quality: Floats, count: int) -> Ints:
    """The positions of `count` rows, in the order they are chosen.

    `vectors` are one row each of length 1, whatever made them: `text_vectors`, or a model's embeddings. `quality` lies
    between 0 and 1. First the best row is chosen, then always the one whose quality times cosine distance to the
    nearest chosen row is highest; of equals the first. Takes count x rows x dimensions multiplications.
    """
    count = min(count, len(quality))
    nearest = np.full(len(quality), 2.0)  # the largest cosine distance
    chosen = np.zeros(count, dtype=np.int64)
    open_rows = np.ones(len(quality), dtype=np.bool_)
    for number in range(count):
        value = np.where(open_rows, np.round(quality * nearest, 6), -1.0)
        best = int(value.argmax())
        chosen[number], open_rows[best] = best, False
        distance = 1 - (vectors @ vectors[best]).astype(np.float64)
        nearest = np.minimum(nearest, np.maximum(distance, 1e-6))
    return chosen


def text_vectors(texts: pl.Series) -> Matrix:
    """One vector of length 1 per text: its words, the rarer the heavier, hashed into DIMENSIONS with a sign (TF-IDF)."""
    said = texts.to_frame("text").with_row_index("owner").with_columns(word=words(normalised(pl.col("text"))))
    counted = said.select("owner", "word").explode("word", empty_as_null=False).group_by("owner", "word").len()
    hashed = pl.col("word").hash(seed=0)
    weighed = counted.with_columns(
        weight=(1 + pl.col("len").log()) * (len(texts) / pl.col("owner").len().over("word")).log1p(),
        column=(hashed % DIMENSIONS).cast(pl.Int64),
        sign=1 - 2 * (hashed // DIMENSIONS % 2).cast(pl.Int64),
    ).sort("owner", "word")
    cell = weighed["owner"].cast(pl.Int64).to_numpy() * DIMENSIONS + weighed["column"].to_numpy()
    values = weighed["weight"].to_numpy() * weighed["sign"].to_numpy()
    vectors = np.bincount(cell, values, minlength=len(texts) * DIMENSIONS).reshape(len(texts), DIMENSIONS)
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    scaled: Matrix = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


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
    centred = found - found.mean(axis=0)
    vectors: Matrix = np.zeros((rows.height, found.shape[1]), dtype=np.float32)
    vectors[known.to_numpy()] = centred / np.maximum(np.sqrt((centred**2).sum(axis=1, keepdims=True)), 1e-9)
    return vectors


def quality_of(rows: pl.DataFrame, column: str | None) -> Floats:
    """Between 0.5 and 1, by the rank of the row in `column`; 1 for all without one. Nulls and NaN come last.

    Raises ConfigError for a column that is not there, not a number, or null in every row.
    """
    if column is None:
        return np.ones(rows.height)
    name, lower_is_better = column.removeprefix("-"), column.startswith("-")
    if name not in rows.columns or not (rows.schema[name].is_numeric() or rows.schema[name] == pl.Boolean):
        numeric = [n for n, dtype in rows.schema.items() if dtype.is_numeric()]
        raise ConfigError(f"mix: quality names {name}, which is no column of numbers; those are {', '.join(numeric)}")
    value = pl.col(name).cast(pl.Float64).fill_nan(None)
    if rows.height and rows.select(value.is_null().all()).item():
        raise ConfigError(
            f"mix: quality names {name}, and no row has one; have it measured (score, rate), or name another"
        )
    rank = (-value if lower_is_better else value).rank("average").fill_null(0.0) / rows.height
    return rows.select(0.5 + rank / 2).to_series().to_numpy().astype(np.float64)
