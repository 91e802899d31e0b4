"""Given rows with a length and a score, or a choice -> how much the choice goes by length, and whether it beats drawing lots."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows import row_id
from stages.measures.selector_honesty import honesty_of_choice, honesty_of_score

LENGTHS = [3, 10, 40, 41, 90, 200, 500, 900]


def rows(scores: list[float | None], lengths: list[int] = LENGTHS) -> pl.DataFrame:
    ids = [row_id(str(number)) for number in range(len(scores))]
    return pl.DataFrame({"row_id": ids, "score": scores, "length": lengths}, schema_overrides={"score": pl.Float64})


def test_a_score_that_is_the_length_is_found_out() -> None:
    found = honesty_of_score(rows([float(n) for n in LENGTHS]), "score", "length")
    assert (found.rows, found.picked, found.spearman, found.length_auc) == (8, 4, pytest.approx(1), 1.0)
    lowest = honesty_of_score(rows([float(n) for n in LENGTHS]), "score", "length", highest=False)
    assert (lowest.spearman, lowest.length_auc) == (pytest.approx(1), 0.0)
    assert "length AUC 1.00, Spearman with length 1.00" in found.told("longest")


def test_a_choice_is_measured_like_a_score() -> None:
    chosen = rows([1.0] * 8).with_columns(picked=pl.col("length") > 89)
    found = honesty_of_choice(chosen, "picked", "length")
    assert (found.picked, found.length_auc, found.spearman, found.expected_overlap) == (4, 1.0, None, 0.5)


def test_equal_lengths_count_half() -> None:
    chosen = rows([1.0] * 4, [5, 5, 5, 9]).with_columns(picked=pl.Series([True, False, True, False]))
    assert honesty_of_choice(chosen, "picked", "length").length_auc == pytest.approx((2 * 0.5 + 2 * 0) / 4)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([], (0, 0, None, None)), ([None] * 8, (0, 0, None, None)), ([2.0] * 8, (8, 4, None, None)), ([1.0], (1, 0, None, None))],
)  # fmt: skip
def test_what_the_rows_cannot_tell_is_none(scores: list[float | None], expected: tuple[int, int, None, None]) -> None:
    found = honesty_of_score(rows(scores, LENGTHS[: len(scores)]), "score", "length")
    assert (found.rows, found.picked, found.spearman) == expected[:3]
    assert found.length_auc is None or found.rows == 8


def test_a_choice_by_lot_overlaps_with_a_random_pick_as_chance_says_and_knows_no_length() -> None:
    many = rows([2.0] * 4000, list(range(4000)))
    found = honesty_of_score(many, "score", "length", share=0.25)
    assert found.random_overlap == pytest.approx(0.25, abs=0.04)  # three standard deviations of 1,000 draws
    assert found.length_auc == pytest.approx(0.5, abs=0.04)
    assert found.expected_overlap == 0.25


@given(st.lists(st.tuples(st.none() | st.floats(-9, 9), st.integers(0, 9)), max_size=12))
def test_the_order_of_the_rows_changes_nothing(pairs: list[tuple[float | None, int]]) -> None:
    made = rows([score for score, _ in pairs], [length for _, length in pairs])
    shuffled = made.sample(fraction=1.0, shuffle=True, seed=3)
    assert honesty_of_score(made, "score", "length") == honesty_of_score(shuffled, "score", "length")
