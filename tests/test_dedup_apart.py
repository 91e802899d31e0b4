"""Matching by parts of a corpus that share no key has the outcome of matching all of it at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup_rows import compared, planted, row
from rows import table
from stages.dedup import apart
from stages.dedup.apart import match_apart
from stages.dedup.decisions import decide
from stages.dedup.stage import DedupParams
from stages.processes.engine import Change

CHAIN = st.integers(0, 11).map(lambda first: " ".join("abcdefghijklmnopqrstuvwxyz"[first : first + 12]))
ANSWERS = st.one_of(CHAIN, CHAIN, CHAIN, st.sampled_from(["?", "...", ""]))
PIECES = st.tuples(st.sampled_from(["", "?", "why", "who was it"]), ANSWERS, st.sampled_from("pqrst"))


def sent(table: pl.DataFrame) -> pl.DataFrame:
    """What is left of a table that travels between processes."""
    return pl.DataFrame(pl.from_arrow(table.to_arrow()))


class OneProcess:
    """A cluster of this process."""

    workers = 2

    def __init__(self) -> None:
        self.calls = 0

    def mapped(self, table: pl.DataFrame, make: Change) -> Iterator[pl.DataFrame]:
        for row_number in range(table.height):
            self.calls += 1
            yield sent(make(sent(table[row_number])))

    def grouped(self, table: pl.DataFrame, make: Change, by: str, reduce: Change) -> Iterator[pl.DataFrame]:
        made = pl.concat([pl.DataFrame(), *self.mapped(table, make)], how="diagonal")
        yield from (sent(reduce(sent(group))) for group in (made.partition_by(by) if made.width else []))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(PIECES, max_size=16),
    st.fixed_dictionaries(
        {
            "min_similarity": st.sampled_from([0.5, 0.7, 0.8]),
            "group_similarity": st.sampled_from([None, 0.5, 0.6]),
            "conflicting_answers": st.sampled_from(["keep_all", "keep_best"]),
            "key": st.sampled_from(["conversation", "response"]),
        }
    ),
)
def test_parts_decide_as_the_whole_does(
    monkeypatch: pytest.MonkeyPatch, pieces: list[tuple[str, str, str]], values: dict[str, Any]
) -> None:
    monkeypatch.setattr(apart, "ROWS_AT_ONCE", 3)
    params = DedupParams(shingle_words=1, prefer_sources=list("pqrst"), **values)
    rows = [row(f"r{i}", question, answer, source=source) for i, (question, answer, source) in enumerate(pieces)]
    comparison = compared(table("conversations", rows), params)
    whole = comparison.match_among(comparison.compared)
    parted = match_apart(comparison, comparison.compared, OneProcess())
    assert all(
        np.array_equal(one, other)
        for one, other in zip(decide(comparison, whole), decide(comparison, parted), strict=True)
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(CHAIN, min_size=3, max_size=4)), max_size=12))
def test_parts_decide_as_the_whole_does_turn_by_turn(
    monkeypatch: pytest.MonkeyPatch, talks: list[tuple[int, list[str]]]
) -> None:
    monkeypatch.setattr(apart, "ROWS_AT_ONCE", 3)
    rows = [
        row(f"r{i}", *(f"opening {opening}", "yes") * (opening % 2), *turns, *turns[: len(turns) % 2])
        for i, (opening, turns) in enumerate(talks)
    ]
    comparison = compared(table("conversations", rows), DedupParams(key="turns", shingle_words=1, min_similarity=0.7))
    whole = comparison.match_among(comparison.compared)
    parted = match_apart(comparison, comparison.compared, OneProcess())
    assert all(
        np.array_equal(one, other)
        for one, other in zip(decide(comparison, whole), decide(comparison, parted), strict=True)
    )


def test_work_is_shared_out_and_rows_that_are_like_none_are_left_alone() -> None:
    comparison = compared(table("conversations", planted(60, seed=3)[0]), DedupParams())
    cluster, matched = OneProcess(), []
    among = type(comparison).match_among
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(comparison), "match_among", lambda self, rows: matched.append(int(rows.sum())) or among(self, rows)
        )
        found = match_apart(comparison, comparison.compared, cluster)
    assert len(found.removed) > 10
    assert len(matched) > cluster.workers
    assert max(matched) < comparison.corpus.rows / 4
    assert sum(matched) < comparison.corpus.rows
