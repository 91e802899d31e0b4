"""The choice of rows, held against the same choice written out in plain Python over Python's own numbers."""

import math
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.mix.selection import model_vectors, quality_of, select_rows

CLOSE = 3e-6  # twice the sixth digit that choices are rounded to, and what float32 loses

axes = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
qualities = st.integers(1, 6).map(lambda sixths: sixths / 6)


def unit(vector: list[int]) -> list[float]:
    length = math.sqrt(sum(part * part for part in vector))
    return [part / length for part in vector]


def worth(row: int, chosen: list[int], vectors: list[list[float]], quality: list[float]) -> float:
    """Quality times cosine distance to the nearest row that is chosen; twice the quality before there is one."""
    distances = [1 - sum(a * b for a, b in zip(vectors[row], vectors[other], strict=True)) for other in chosen]
    return quality[row] * min(distances, default=2.0)


@settings(max_examples=80)
@given(st.lists(st.tuples(axes, qualities), min_size=1, max_size=9), st.integers(1, 12))
def test_each_step_takes_the_first_of_the_rows_that_add_most(rows: list[tuple[list[int], float]], count: int) -> None:
    vectors, quality = [unit(vector) for vector, _ in rows], [good for _, good in rows]
    made = select_rows(np.array(vectors, dtype=np.float32), np.array(quality), count).tolist()
    assert len(made) == len(set(made)) == min(count, len(rows))
    for step, row in enumerate(made):
        waiting = [other for other in range(len(rows)) if other not in made[:step]]
        values = {other: worth(other, made[:step], vectors, quality) for other in waiting}
        assert values[row] >= max(values.values()) - CLOSE
        equals = [other for other in waiting if (vectors[other], quality[other]) == (vectors[row], quality[row])]
        assert row == min(equals), "of rows that are the same the first is taken"


values_or_none = st.one_of(st.none(), st.just(math.nan), st.integers(-3, 3).map(float))


@settings(max_examples=80)
@given(st.lists(values_or_none, min_size=1, max_size=8), st.booleans())
def test_quality_is_the_mean_rank_among_the_rows_that_have_a_value(
    values: list[float | None], lower_is_better: bool
) -> None:
    known = [value for value in values if value is not None and not math.isnan(value)]

    def expected(value: float | None) -> float:
        if value is None or math.isnan(value):
            return 0.5
        worse = sum(other > value if lower_is_better else other < value for other in known)
        return 0.5 + (worse + (known.count(value) + 1) / 2) / len(values) / 2

    made = quality_of(pl.DataFrame({"x": values}, schema={"x": pl.Float64}), "-x" if lower_is_better else "x")
    assert np.allclose(made, list(map(expected, values)))


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), axes), min_size=1, max_size=6).filter(any))
def test_embeddings_are_read_without_their_mean(embeddings: list[list[int] | None]) -> None:
    known = [vector for vector in embeddings if vector is not None]
    mean = [sum(column) / len(known) for column in zip(*known, strict=True)]

    def expected(vector: list[int] | None) -> list[float]:
        moved = [0.0] * 3 if vector is None else [part - shared for part, shared in zip(vector, mean, strict=True)]
        length = math.sqrt(sum(part * part for part in moved))
        return [part / length if length > 1e-6 else 0.0 for part in moved]

    rows: Any = pl.DataFrame({"embedding": embeddings}, schema={"embedding": pl.List(pl.Float32)})
    made = model_vectors(rows)
    near = [np.allclose(row, expected(vector), atol=1e-5) for row, vector in zip(made, embeddings, strict=True)]
    same = [vector is not None and np.allclose(vector, mean, atol=1e-6) for vector in embeddings]
    assert all(fits or at_mean for fits, at_mean in zip(near, same, strict=True))
