"""The choice of rows, held against the same choice written out in plain Python over Python's own numbers."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.mix.selection import model_vectors, quality_of, select_rows
from stages.mix.shares import allocate
from stages.mix.stage import MixParams

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


def has_value(values: list[float | None]) -> bool:
    return any(value is not None and not math.isnan(value) for value in values)


@settings(max_examples=80)
@given(st.lists(values_or_none, min_size=1, max_size=8).filter(has_value), st.booleans())
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


def level_sum(level: Fraction, shares: list[Fraction], bounds: list[tuple[int, int]]) -> list[Fraction]:
    return [
        min(max(share * level, Fraction(low)), Fraction(high))
        for share, (low, high) in zip(shares, bounds, strict=True)
    ]


def exact_rows(sizes: dict[str, int], weights: dict[str, int], params: MixParams) -> dict[str, int]:
    """`allocate` in fractions: the level is looked for between the levels at which a part meets one of its bounds."""
    parts = sorted(sizes)
    shares = [Fraction(weights[part], sum(weights.values())) for part in parts]
    most = [min(params.max_seen.get(part, 10**15), sizes[part] * params.max_repeats) for part in parts]
    bounds = [(min(params.min_seen.get(part, 0), high), high) for part, high in zip(parts, most, strict=True)]
    held = sum(min(max(sizes[part], low), high) for part, (low, high) in zip(parts, bounds, strict=True))
    longest = [
        int(sizes[part] * params.max_repeats / share) for part, share in zip(parts, shares, strict=True) if share
    ]
    total = params.epoch_rows or max(1, min(held, *longest))
    turns = sorted(
        {Fraction(bound) / share for share, both in zip(shares, bounds, strict=True) if share for bound in both}
    )
    below = max(
        [turn for turn in [Fraction(0), *turns] if sum(level_sum(turn, shares, bounds)) <= total], default=Fraction(0)
    )
    here = level_sum(below, shares, bounds)
    rising = [
        share
        for share, (low, high), now in zip(shares, bounds, here, strict=True)
        if share * below >= low and now < high
    ]
    level = below + (total - sum(here)) / sum(rising) if sum(rising) and sum(here) < total else below
    wanted = level_sum(level, shares, bounds)
    whole = [int(rows) for rows in wanted]
    order = sorted(range(len(parts)), key=lambda place: (whole[place] - wanted[place], place))
    for place in order[: round(sum(wanted)) - sum(whole)]:
        whole[place] += 1
    return dict(zip(parts, whole, strict=True))


@settings(max_examples=120)
@given(st.data())
def test_rows_of_each_part_are_those_of_the_same_shares_in_fractions(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True))
    sizes = {part: data.draw(st.integers(1, 40)) for part in parts}
    weights = {part: data.draw(st.integers(1, 5)) for part in parts}
    least = {part: data.draw(st.integers(1, 30)) for part in parts if data.draw(st.booleans())}
    most = {part: least.get(part, 0) + data.draw(st.integers(1, 30)) for part in parts if data.draw(st.booleans())}
    epoch_rows = data.draw(st.one_of(st.none(), st.integers(1, 120)))
    params = MixParams(
        weights=weights, min_seen=least, max_seen=most, max_repeats=data.draw(st.integers(1, 4)), epoch_rows=epoch_rows
    )
    requested = {part: weight / sum(weights.values()) for part, weight in weights.items()}
    assert allocate(sizes, requested, params) == exact_rows(sizes, weights, params)
