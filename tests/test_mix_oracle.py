"""The choice of rows, held against the same choice written out in plain Python over Python's own numbers."""

import math
from fractions import Fraction
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mix_rows import document, many, mix
from rows import conversation
from stages.mix import selection
from stages.mix.selection import quality_of, select_rows
from stages.mix.shares import allocate
from stages.mix.stage import MixParams
from stages.mix.vectors import model_vectors
from workbench import say_nothing

NOTHING_HELD_OUT: dict[str, Any] = {"validation_share": 0, "test_share": 0}
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
@given(st.lists(st.tuples(axes, qualities), min_size=1, max_size=9), st.integers(1, 12), st.integers(1, 12))
def test_each_step_takes_the_first_of_the_rows_that_add_most(
    rows: list[tuple[list[int], float]], count: int, kept_up_to_date: int
) -> None:
    vectors, quality = [unit(vector) for vector, _ in rows], [good for _, good in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "MOST_WORTHY", kept_up_to_date)
        made = select_rows(np.array(vectors, dtype=np.float32), np.array(quality), count, say_nothing).tolist()
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


def exact_rows(sizes: dict[str, int], weights: dict[str, Fraction], params: MixParams) -> dict[str, int]:
    """`allocate` in fractions: the level is looked for between the levels at which a part meets one of its bounds."""
    parts = sorted(sizes)
    shares = [weights[part] / sum(weights.values()) for part in parts]
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
    exact = {part: Fraction(weight) for part, weight in weights.items()}
    assert allocate(sizes, requested, params) == exact_rows(sizes, exact, params)


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1),
    st.sampled_from([1.0, 1.5, 3.0, 100.0]),
    st.one_of(st.none(), st.integers(1, 90)),
    st.integers(1, 4),
)
@example({"a": 1, "b": 24, "c": 27}, 1.0, None, 1)
def test_temperature_gives_each_source_its_size_to_the_power_of_one_over_it(
    sizes: dict[str, int], temperature: float, epoch_rows: int | None, max_repeats: int
) -> None:
    asked: dict[str, Any] = {"temperature": temperature, "epoch_rows": epoch_rows, "max_repeats": max_repeats}
    made = mix([row for name, size in sizes.items() for row in many(size, name)], **asked, **NOTHING_HELD_OUT)
    raised = {name: Fraction(size ** (1 / temperature)) for name, size in sizes.items()}
    expected = exact_rows(sizes, raised, MixParams(**asked))
    assert {name: made.of(name)["rows_seen"] for name in sizes} == expected
    for name, rows in expected.items():
        repeats = sorted(made.train(source=name)["repeats"])
        few, more = divmod(rows, sizes[name])
        assert repeats == sorted([few] * (sizes[name] - more if few else 0) + [few + 1] * more)


def uniform(name: str, seed: int) -> float:
    number = blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "big"), person=b"split").digest()
    return int.from_bytes(number, "big") / 2**64


class Asking(NamedTuple):
    """What decides about the split of a row."""

    group: str | None
    opening: str
    later: str | None
    is_document: bool

    def row(self, name: str) -> dict[str, Any]:
        if self.is_document:
            return document(name, group_id=self.group)
        later = [self.later, "Yes."] if self.later else []
        columns = {"repeated_trigram_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0}
        facts: dict[str, Any] = {**columns, "response_chars": 1, "response_words": 1, "group_id": self.group}
        return conversation(name, self.opening, "A thing.", *later, file=name, **facts)


def plain(text: str) -> str:
    return text.lower().strip("?")


def opening(name: str, asked: Asking) -> str:
    return f"about {name}{' more' * 8}" if asked.is_document else plain(asked.opening)


def later_question(asked: Asking) -> str | None:
    """What is asked at length behind the opening; less says nothing by itself."""
    later = plain(asked.later or "")
    return None if asked.is_document or len(later.split()) < 8 else later


def linked(rows: dict[str, Asking], ids: dict[str, str]) -> list[set[str]]:
    """Rows that share a group, or of which one asks what the other asks, at the beginning or at length."""
    keys = {
        name: [
            ("group", asked.group),
            ("asks", opening(name, asked)),
            ("asks", later_question(asked)),
        ]
        for name, asked in rows.items()
    }
    told = {name: {key for key in of if key[1]} for name, of in keys.items()}
    parts: list[set[str]] = []
    for name in ids:
        near = [part for part in parts if any(told[name] & told[other] for other in part)]
        parts = [part for part in parts if part not in near] + [{name}.union(*near)]
    return parts


def expected_splits(rows: dict[str, Asking], ids: dict[str, str], params: MixParams) -> dict[str, str]:
    def own_name(name: str) -> str:
        asked = rows[name]
        return asked.group or f"opening {opening(name, asked)}"

    parts = {min(map(own_name, part)): part for part in linked(rows, ids)}
    draw = {group: uniform(group, params.seed) for group in parts}

    def below(end: float, groups: list[str]) -> list[str]:
        found = [group for group in groups if draw[group] < end]
        wanted = groups and end > 0 and len(parts) >= 3
        return found or ([min(groups, key=lambda group: (draw[group], group))] if wanted else [])

    test = below(params.test_share, [g for g, part in parts.items() if not any(rows[n].is_document for n in part)])
    rest = [group for group in parts if draw[group] >= params.test_share and group not in test]
    end = params.test_share + params.validation_share
    held = below(end, rest) if params.validation_share else []
    return {
        name: "test" if group in test else "validation" if group in held else "train"
        for group, part in parts.items()
        for name in part
    }


asking = st.builds(
    Asking,
    st.sampled_from([None, None, "0" * 31 + "1", "0" * 31 + "2"]),
    st.sampled_from([f"What is {letter}?" for letter in "abcdefgh"] + [f"WHAT is {letter}" for letter in "abc"]),
    st.sampled_from([None, None, "And then?", "Can you tell me more about what a b c is?", "What is a?"]),
    st.booleans().filter(bool) | st.just(value=False) | st.just(value=False),
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(asking, min_size=1, max_size=12),
    st.sampled_from([0.0, 0.2, 0.45]),
    st.sampled_from([0.0, 0.3, 0.5]),
    st.integers(0, 9),
)
def test_splits_are_those_of_groups_linked_one_by_one(
    asked: list[Asking], validation_share: float, test_share: float, seed: int
) -> None:
    rows = {f"r{place}": one for place, one in enumerate(asked)}
    given_rows = [one.row(name) for name, one in rows.items()]
    shares: dict[str, Any] = {"validation_share": validation_share, "test_share": test_share, "seed": seed}
    made = mix(given_rows, **shares)
    ids = dict(zip(rows, [row["row_id"] for row in given_rows], strict=True))
    assert dict(made.mixture.select("file", "split").rows()) == expected_splits(rows, ids, MixParams(**shares))
