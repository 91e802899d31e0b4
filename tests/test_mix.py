from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rows import conversation, row_id, table
from stages.errors import ConfigError
from stages.mix.splits import MAX_HELD_OUT_ROWS
from stages.mix.stage import MixParams
from stages.mix.transform import transform
from workbench import say_nothing


def row(name: str, question: str | None = None, **columns: Any) -> dict[str, Any]:
    signals = {"repeated_trigram_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0}
    texts = (question or f"What is {name}?", "A thing.")
    return conversation(name, *texts, file=name, response_chars=1, response_words=1, **signals, **columns)


def document(name: str) -> dict[str, Any]:
    return {**row(name), "messages": [{"role": "text", "content": f"About {name}."}]}


def many(count: int, source: str = "test") -> list[dict[str, Any]]:
    return [row(f"{source} {i}", source=source) for i in range(count)]


def mix(rows: list[dict[str, Any]], **params: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    made = transform(table("clean", rows).lazy(), params=MixParams(**params), progress=say_nothing)
    return made.mixture.collect().sort("row_id"), made.left_out.collect().sort("row_id")


def splits(rows: list[dict[str, Any]], **params: Any) -> dict[str, str]:
    return dict(mix(rows, **params)[0].select("file", "split").rows())


def test_shares_are_kept_nearly() -> None:
    counts = mix(many(3000), validation_share=0.1, test_share=0.2)[0]["split"].value_counts()
    assert dict(counts.rows()) == {
        "train": pytest.approx(2100, abs=100),
        "validation": pytest.approx(300, abs=60),
        "test": pytest.approx(600, abs=80),
    }


def test_a_source_over_its_cap_leaves_rows_out_and_the_others_do_not() -> None:
    mixture, left_out = mix([*many(50, "large"), *many(5, "small")], max_rows_per_source=20)
    assert sorted(mixture["source"].value_counts().rows()) == [("large", 20), ("small", 5)]
    assert left_out["reason"].value_counts().rows() == [("over_source_cap", 30)]


def test_the_total_cap_takes_from_each_source_in_proportion() -> None:
    mixture, left_out = mix([*many(1500, "large"), *many(500, "small")], max_rows=400, max_rows_per_source=1200)
    assert mixture.height == 400
    assert mixture.filter(source="large").height == pytest.approx(400 * 1200 / 1700, abs=30)
    assert sorted(left_out["reason"].value_counts().rows()) == [("over_source_cap", 300), ("over_total_cap", 1300)]


@pytest.mark.parametrize("cap", ["max_rows", "max_rows_per_source"])
def test_other_seeds_choose_other_rows(cap: str) -> None:
    chosen = [set(mix(many(100), **{cap: 50}, seed=seed)[0]["row_id"]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_training_rows_are_repeated_as_their_source_says_and_others_never() -> None:
    rows = [*many(300, "small"), *many(300, "large")]
    mixture, _ = mix(rows, repeats={"small": 3}, validation_share=0.1, test_share=0.1)
    seen = set(mixture.select("source", pl.col("split") == "train", "repeats").rows())
    assert seen == {("small", True, 3), ("small", False, 1), ("large", True, 1), ("large", False, 1)}
    assert mixture.schema["repeats"] == pl.Int32


def test_what_tokens_weigh_is_told_by_source() -> None:
    mixture, _ = mix([*many(3), *many(3, "small")], loss_weights={"small": 0.25})
    assert set(mixture.select("source", "weight").rows()) == {("test", 1.0), ("small", 0.25)}
    assert mix(many(3))[0]["weight"].to_list() == [1.0] * 3


def test_what_a_row_weighs_is_multiplied_by_what_its_source_does() -> None:
    rows = [row("plain"), row("heavy", weight=3.0), row("light", weight=0.5, source="small")]
    mixture, _ = mix([*rows, *many(3, "small")], loss_weights={"small": 0.25})
    assert set(mixture.select("source", "weight").rows()) == {
        ("test", 1.0), ("test", 3.0), ("small", 0.125), ("small", 0.25),
    }  # fmt: skip


def test_weights_of_a_source_that_is_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="loss_weights names smal, and no row is from there"):
        mix([*many(3), *many(3, "small")], loss_weights={"smal": 2})


def test_repeats_of_a_source_that_is_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="repeats names smal, and no row is from there; the sources are small, test"):
        mix([*many(3), *many(3, "small")], repeats={"smal": 2})


@pytest.mark.parametrize(
    "params", [{"validation_share": 0.5, "test_share": 0.5}, {"test_share": 1}, {"max_rows": 0}, {"repeats": {"a": 0}}]
)
def test_parameters_that_cannot_be_meant_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MixParams(**params)


def test_rows_of_a_group_and_rows_that_open_alike_are_never_parted() -> None:
    grouped = [row(f"g{i}", group_id=row_id(f"{i // 4}")) for i in range(400)]
    alike = [row(f"o{i}", question=f"Question {i // 4}") for i in range(400)]
    mixture, _ = mix([*grouped, *alike], validation_share=0.3, test_share=0.3)
    half, number = pl.col("file").str.head(1), pl.col("file").str.slice(1).cast(pl.Int64)
    parted = mixture.group_by(half=half, group=number // 4).agg(pl.col("split").n_unique())
    assert set(parted["split"]) == {1}
    assert mixture["split"].n_unique() == 3


def test_a_group_that_would_be_most_of_the_test_stays_in_training() -> None:
    rows = [
        row(f"r{i}", group_id=f"group {i // (MAX_HELD_OUT_ROWS + 1)}") for i in range(100 * (MAX_HELD_OUT_ROWS + 1))
    ]
    assert set(splits(rows, validation_share=0.4, test_share=0.4).values()) == {"train"}


@pytest.mark.parametrize("count", [3, 4, 10])
def test_a_few_rows_are_enough_for_one_of_each_split(count: int) -> None:
    found = sorted(splits(many(count)).values())
    assert found == ["test", *["train"] * (count - 2), "validation"]


def test_of_two_rows_none_is_held_out_but_by_chance() -> None:
    assert set(splits(many(2), validation_share=1e-9, test_share=1e-9).values()) == {"train"}
    assert set(splits(many(3), validation_share=1e-9, test_share=1e-9).values()) == {"train", "validation", "test"}


def test_a_share_of_zero_holds_nothing_out() -> None:
    assert set(splits(many(200), validation_share=0).values()) == {"train", "test"}
    assert set(splits(many(200), test_share=0).values()) == {"train", "validation"}


def test_documents_are_never_in_test() -> None:
    rows = [document(f"d{i}") for i in range(100)]
    assert set(splits(rows, validation_share=0.3, test_share=0.3).values()) == {"train", "validation"}


def test_more_rows_leave_the_split_of_the_others_as_it_was() -> None:
    before = splits(many(400), validation_share=0.1, test_share=0.1)
    after = splits([*many(400), *many(300, "new")], validation_share=0.1, test_share=0.1)
    assert {name: after[name] for name in before} == before


def test_no_rows_are_no_mixture() -> None:
    assert [part.height for part in mix([])] == [0, 0]


GROUPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["one", "two"])), max_size=25)


@settings(max_examples=40, deadline=None)
@given(GROUPS, st.none() | st.integers(1, 10), st.none() | st.integers(1, 10), st.randoms(use_true_random=False))
def test_caps_hold_no_row_is_lost_no_group_is_parted_and_order_is_nothing(
    drawn: list[tuple[str, str]], max_rows: int | None, max_rows_per_source: int | None, random: Any
) -> None:
    rows = [row(f"r{i}", group_id=group, source=source) for i, (group, source) in enumerate(drawn)]
    params: dict[str, Any] = {"max_rows": max_rows, "max_rows_per_source": max_rows_per_source}
    mixture, left_out = mix(rows, **params)
    assert sorted([*mixture["row_id"], *left_out["row_id"]]) == sorted(r["row_id"] for r in rows)
    assert mixture.height <= (max_rows or len(rows))
    assert all(count <= (max_rows_per_source or len(rows)) for _, count in mixture["source"].value_counts().rows())
    assert all(n == 1 for _, n in mixture.group_by("group_id").agg(pl.col("split").n_unique()).rows())
    random.shuffle(rows)
    again = mix(rows, **params)
    assert mixture.equals(again[0])
    assert left_out.equals(again[1])
