"""Shares of sources and tasks, quotas, replay of plain documents, and what the summary says of them."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mix_rows import document, many, mix, row
from rows import sealed
from stages.errors import ConfigError
from stages.execution.request import Request
from stages.execution.runner import run_stage, tell
from stages.mix.shares import allocate
from stages.mix.stage import MixParams
from stages.pipeline import STAGES

NOTHING_HELD_OUT: dict[str, Any] = {"validation_share": 0, "test_share": 0}


def seen_by(made: Any, column: str = "source") -> dict[str, int]:
    return dict(made.train().group_by(column).agg(pl.col("repeats").sum()).rows())


def test_weights_are_the_shares_of_an_epoch_and_rows_too_many_are_left_out() -> None:
    made = mix([*many(300, "large"), *many(100, "small")], weights={"large": 1, "small": 1}, **NOTHING_HELD_OUT)
    assert seen_by(made) == {"large": 200, "small": 200}
    assert made.left_out["reason"].value_counts().rows() == [("over_share", 100)]
    assert set(made.train(source="small")["repeats"]) == {2}


def test_a_share_that_rows_do_not_fill_repeats_them_evenly_and_some_once_more() -> None:
    rows = [*many(100, "small"), *many(100, "other")]
    made = mix(rows, weights={"small": 3, "other": 2}, epoch_rows=250, **NOTHING_HELD_OUT)
    assert dict(made.train(source="small")["repeats"].value_counts().rows()) == {1: 50, 2: 50}
    assert made.of("small")["effective_epochs"] == 1.5
    assert made.of("other")["effective_epochs"] == 1.0


def test_no_row_is_repeated_more_than_is_allowed_and_the_shares_still_hold() -> None:
    made = mix(
        [*many(10, "tiny"), *many(1000, "large")], weights={"tiny": 1, "large": 1}, max_repeats=3, **NOTHING_HELD_OUT
    )
    assert seen_by(made) == {"tiny": 30, "large": 30}


def test_a_weight_of_0_takes_none_of_a_part_and_the_others_keep_their_shares() -> None:
    rows = [*many(40, "a"), *many(10, "b"), *many(30, "none")]
    made = mix(rows, weights={"a": 3, "b": 1, "none": 0, "not there": 0}, **NOTHING_HELD_OUT)
    assert seen_by(made) == {"a": 60, "b": 20}
    assert made.left_out.select("source", "reason").unique().rows() == [("none", "over_share")]
    assert made.of("none")["requested_share"] == 0
    with pytest.raises(ValidationError, match="weights are all 0"):
        MixParams(weights={"a": 0})


@pytest.mark.parametrize(("temperature", "expected"), [(1, (900, 100)), (2, (750, 250)), (100, (506, 494))])
def test_temperature_draws_shares_together(temperature: float, expected: tuple[int, int]) -> None:
    made = mix([*many(900, "large"), *many(100, "small")], temperature=temperature, max_repeats=100, **NOTHING_HELD_OUT)
    assert seen_by(made) == {"large": pytest.approx(expected[0], abs=1), "small": pytest.approx(expected[1], abs=1)}


def test_sizes_count_up_to_the_cap_of_a_source() -> None:
    rows = [*many(900, "large"), *many(100, "small")]
    made = mix(rows, temperature=1, max_rows_per_source=300, epoch_rows=400, **NOTHING_HELD_OUT)
    assert seen_by(made) == {"large": 300, "small": 100}


def test_shares_can_be_of_tasks() -> None:
    rows = [*many(60, "a", task="code"), *many(60, "b", task="chat"), *many(60, "c")]
    made = mix(rows, part="task", weights={"code": 2, "chat": 1, "": 1}, epoch_rows=120, **NOTHING_HELD_OUT)
    assert seen_by(made, "task") == {"code": 60, "chat": 30, None: 30}
    assert made.of("code", "task")["requested_share"] == 0.5
    assert made.of("", "task")["requested_share"] == 0.25
    assert made.of("a")["requested_share"] is None


def test_a_quota_for_one_part_repeats_no_other() -> None:
    made = mix(
        [*many(400, "a"), *many(90, "b"), *many(5, "c")], max_seen={"a": 100}, min_seen={"c": 12}, **NOTHING_HELD_OUT
    )
    assert {name: made.of(name)["rows_seen"] for name in "abc"} == {"a": 100, "b": 90, "c": 12}
    assert made.of("c")["effective_epochs"] == 2.4


def test_quotas_hold_a_part_and_the_others_share_what_is_left() -> None:
    rows = [*many(100, "a"), *many(100, "b"), *many(100, "c")]
    made = mix(rows, epoch_rows=200, max_seen={"a": 20}, min_seen={"b": 150}, **NOTHING_HELD_OUT)
    assert seen_by(made) == {"a": 20, "b": 150, "c": 30}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"weights": {"a": 1}}, "weights leaves out 'b'"),
        ({"weights": {"a": 1, "b": 1, "x": 1}}, "weights names x, of which no training row is"),
        (
            {"weights": {"a": 1, "b": 1, "x": 1}, "replay_share": 0.1},
            "the training rows are of 'a', 'b'; plain documents have replay_share and no other",
        ),
        (
            {"max_seen": {"x": 1}},
            "max_seen names x, of which no training row is; by source the training rows are of 'a'",
        ),
    ],
)
def test_parts_that_are_not_there_or_are_forgotten_are_refused(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        mix([*many(5, "a"), *many(5, "b")], **params, **NOTHING_HELD_OUT)


NONE_HELD_BY_MAX_REPEATS = "there are 5 rows, each seen 4 times at most (max_repeats)"


@pytest.mark.parametrize(("params", "told"), [
    ({"min_seen": {"b": 99}}, [
        f"min_seen of b asks for 99 rows of an epoch, and 20 are seen: {NONE_HELD_BY_MAX_REPEATS}",
        "epochs in one epoch of the mixture: 'b' 4.00",
    ]),
    ({"replay_share": 0.5, "replay_of": "rows"}, [
        "replay_share asks for 50.0% of the rows of an epoch, and plain documents have 17.9%: there are 3, each seen "
        "4 times at most (max_repeats)",
        "epochs in one epoch of the mixture: 'books' 4.00",
    ]),
    ({"weights": {"a": 1, "b": 1, "books": 0}, "epoch_rows": 60}, [
        "'a' has 66.7% of the rows of an epoch where 50.0% was asked for",
        "'b' has 33.3% of the rows of an epoch where 50.0% was asked for",
        "epochs in one epoch of the mixture: 'b' 4.00",
    ]),
    ({"weights": {"a": 1, "b": 1, "books": 0}}, [
        "an epoch has 40 rows where 58 are there: for the share of 'b' there are 5, each seen 4 times at most "
        "(max_repeats); set epoch_rows for more",
        "epochs in one epoch of the mixture: 'b' 4.00",
    ]),
    ({"weights": {"a": 1, "b": 1, "books": 0}, "select_rows": 56, "quality": "response_chars"}, [
        "select_rows asks for 56 rows, and 58 are there: shares and max_seen leave 55",
        "an epoch has 40 rows where 55 are there: for the share of 'b' there are 5, each seen 4 times at most "
        "(max_repeats); set epoch_rows for more",
        "epochs in one epoch of the mixture: 'b' 4.00",
    ]),
    ({"epoch_rows": 999}, [
        "epoch_rows asks for 999 rows, and 232 are seen: max_repeats and max_seen allow no more",
        "epochs in one epoch of the mixture: 'a' 4.00, 'b' 4.00, 'books' 4.00",
    ]),
    ({"max_seen": {"a": 0, "b": 0, "books": 0}}, ["nothing is left to train on: 58 rows are not held out, and none of them is taken"]),
    ({"select_rows": 99}, ["select_rows asks for 99 rows, and 58 are there: all are chosen"]),
    ({}, []),
])  # fmt: skip
def test_what_could_not_be_given_and_what_is_repeated_is_told(params: dict[str, Any], told: list[str]) -> None:
    rows = [*many(50, "a"), *many(5, "b"), *(document(f"d{i}", source="books") for i in range(3))]
    assert mix(rows, **params, **NOTHING_HELD_OUT).told == told


def test_what_mix_has_to_say_is_in_the_receipt_and_on_the_console(tmp_path: Path) -> None:
    clean = sealed(tmp_path / "clean", "clean", many(3))
    params = STAGES["mix"].params(epoch_rows=99, **NOTHING_HELD_OUT)
    asked = Request(STAGES["mix"], params, {"clean": [clean]}, "", output=tmp_path / "out", progress_form="off")
    told = ["epoch_rows asks for 99 rows, and 12 are seen: max_repeats and max_seen allow no more",
            "epochs in one epoch of the mixture: 'test' 4.00"]  # fmt: skip
    for outcome in (run_stage(asked), run_stage(asked)):
        assert outcome.receipt["facts"]["told"] == told
        assert all(line in tell(outcome) for line in told)


@pytest.mark.parametrize(
    "params",
    [
        {"weights": {"a": 1}, "temperature": 2},
        {"loss_weights": {"a": float("inf")}},
        {"repeats": {"a": 2}, "epoch_rows": 5},
        {"weights": {"a": 0}},
        {"min_seen": {"a": 3}, "max_seen": {"a": 2}},
        {"quality": "ifd"},
        {"replay_share": 1},
    ],
)
def test_parameters_that_contradict_one_another_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MixParams(**params)


SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.data())
def test_shares_hit_the_target_to_the_nearest_row(sizes: dict[str, int], data: st.DataObject) -> None:
    weights = {part: data.draw(st.floats(0.05, 20)) for part in sizes}
    total = data.draw(st.integers(1, 2000))
    params = MixParams(weights=weights, epoch_rows=total, max_repeats=100)
    share = {part: weight / sum(weights.values()) for part, weight in weights.items()}
    got = allocate(sizes, share, params)
    most = {part: 100 * size for part, size in sizes.items()}
    if all(share[part] * total <= most[part] for part in sizes):
        assert sum(got.values()) == total
        assert all(abs(got[part] - share[part] * total) <= 1 for part in sizes)
    assert all(got[part] <= most[part] for part in sizes)


@pytest.mark.parametrize(("of", "column"), [("chars", "share_of_chars"), ("rows", "share_of_rows")])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_documents_have_their_share_of_an_epoch(share: float, of: str, column: str) -> None:
    rows = [*many(200, "chat"), *(document(f"d{i}", words=20 + i % 7, source="books") for i in range(300))]
    made = mix(rows, replay_share=share, replay_of=of, **NOTHING_HELD_OUT)
    assert made.of("books")[column] == pytest.approx(share, abs=0.01)
    assert made.of("chat")["rows_seen"] == 200
    assert set(made.left_out["reason"]) <= {"over_replay_share"}


def test_few_documents_are_repeated_for_their_share_but_not_too_often() -> None:
    rows = [*many(100, "chat"), *(document(f"d{i}", source="books") for i in range(10))]
    made = mix(rows, replay_share=0.2, replay_of="rows", **NOTHING_HELD_OUT)
    assert made.of("books")["effective_epochs"] == 2.5
    made = mix(rows, replay_share=0.5, replay_of="rows", **NOTHING_HELD_OUT)
    assert made.of("books")["effective_epochs"] == 4


def test_without_a_replay_share_documents_are_rows_like_others() -> None:
    made = mix([*many(10, "chat"), document("d", source="books")], **NOTHING_HELD_OUT)
    assert made.of("books")["rows_seen"] == 1


def test_the_summary_adds_up_by_source_and_by_task() -> None:
    rows = [*many(200, "a", task="code"), *many(100, "b", task="chat"), *many(50, "c")]
    made = mix(rows, weights={"a": 1, "b": 1, "c": 1}, validation_share=0.1, test_share=0.1)
    for part in ("source", "task"):
        told = made.summary.filter(part=part)
        assert told["rows_available"].sum() == 350
        assert told["rows_left_out"].sum() == made.left_out.height
        assert told["rows_seen"].sum() == made.train()["repeats"].sum()
        assert told["rows_test"].sum() == made.mixture.filter(split="test").height
        assert told["share_of_rows"].sum() == pytest.approx(1)
        assert told["share_of_chars"].sum() == pytest.approx(1)


DRAWN = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]), st.booleans()), min_size=1, max_size=30
)


@settings(max_examples=40, deadline=None)
@given(
    DRAWN,
    st.sampled_from([1.0, 3.0]),
    st.sampled_from([None, 0.3]),
    st.sampled_from([None, 7]),
    st.randoms(use_true_random=False),
)
def test_no_row_is_lost_and_order_changes_nothing(
    drawn: list[tuple[str, str | None, bool]], temperature: float, share: float | None, chosen: int | None, random: Any
) -> None:
    rows = [
        (document if is_document else row)(f"r{i}", source=source, task=task)
        for i, (source, task, is_document) in enumerate(drawn)
    ]
    params: dict[str, Any] = {"temperature": temperature, "replay_share": share, "select_rows": chosen}
    made = mix(rows, **params)
    assert sorted([*made.mixture["row_id"], *made.left_out["row_id"]]) == sorted(r["row_id"] for r in rows)
    random.shuffle(rows)
    again = mix(rows, **params)
    assert all(one.equals(other) for one, other in zip(made[:3], again[:3], strict=True))
    assert made.told == again.told


def test_more_rows_of_a_part_that_keeps_its_size_leave_the_choice_of_the_others_as_it_was() -> None:
    params: dict[str, Any] = {"max_seen": {"large": 50}, **NOTHING_HELD_OUT}
    before = mix(many(100, "large"), **params).train(source="large")["row_id"]
    after = mix([*many(100, "large"), *many(100, "new")], **params).train(source="large")["row_id"]
    assert set(before) == set(after)
