"""Lays examples out as the columns of the `examples` dataset, by array code."""

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

KEPT_COLUMNS = ("row_id", "source", "split", "repeats", "weight")
# Of 32 bits. As lists, the number objects of all rows of a batch took longer to walk through than the proofs.
Ids: TypeAlias = "array[int]"


class Example(NamedTuple):
    """One example. `parts` are token ids that do not count, that count, that do not count, and so on in turn."""

    row: int  # position in the batch
    turn: int
    form: str  # conversation | unrolled | document
    answers_dropped: int
    parts: Sequence[Ids]
    tokens_dropped: int = 0
    settings: str | None = None  # JSON of what a server must be told with the request


def example_table(mixture: pl.DataFrame, examples: Sequence[Example]) -> pl.DataFrame:
    """The examples as rows of the `examples` dataset, in the order given; `mixture` holds the rows they come from."""
    part_lengths = np.array([len(part) for example in examples for part in example.parts], dtype=np.int64)
    counts = np.array([place % 2 for example in examples for place in range(len(example.parts))], dtype=np.int8)
    lengths = np.array([sum(map(len, example.parts)) for example in examples], dtype=np.int64)
    ids = np.frombuffer(b"".join(part for example in examples for part in example.parts), dtype=np.int32)
    told = mixture if "weight" in mixture.columns else mixture.with_columns(weight=pl.lit(1.0))
    rows = told.select(KEPT_COLUMNS)[[example.row for example in examples]]
    return rows.select(
        "row_id",
        pl.Series("turn", [example.turn for example in examples], dtype=pl.Int32),
        "source",
        "split",
        "repeats",
        "weight",
        pl.Series("form", [example.form for example in examples], dtype=pl.String),
        pl.Series("answers_dropped", [example.answers_dropped for example in examples], dtype=pl.Int32),
        pl.Series("tokens_dropped", [example.tokens_dropped for example in examples], dtype=pl.Int32),
        pl.Series("prompt_settings", [example.settings for example in examples], dtype=pl.String),
        _lists("input_ids", ids, lengths),
        _lists("loss_mask", np.repeat(counts, part_lengths), lengths),
    )


def _lists(name: str, values: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> pl.Series:
    """`values` cut into lists of those lengths."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return pl.Series(name, pa.LargeListArray.from_arrays(_as_arrow(starts), _as_arrow(values)))


def _as_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """The same memory; `pa.array` would load pandas first, which costs as much as tokenizing thousands of rows."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
