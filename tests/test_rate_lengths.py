"""Given ratings of answers -> their rank among answers of about the same length."""

import numpy as np
import polars as pl
import pytest

from stages.measures.selector_honesty import honesty_of_score
from stages.rate.lengths import length_rank


def ranks(table: pl.DataFrame, bins: int) -> list[float | None]:
    return table.select(length_rank("rating", "tokens", bins, table["rating"].count())).to_series().to_list()


def test_a_rating_is_ranked_among_its_own_length() -> None:
    table = pl.DataFrame({"tokens": [5] * 20 + [90] * 20, "rating": [*range(20), *range(100, 120)]})
    within = [(n + 0.5) / 20 for n in range(20)]
    assert ranks(table, 2) == pytest.approx(within * 2)
    assert ranks(table, 1) == pytest.approx([(n + 0.5) / 40 for n in range(40)])


def test_equal_lengths_share_a_group_and_equal_ratings_a_rank() -> None:
    table = pl.DataFrame({"tokens": [7] * 60, "rating": [1.0] * 60})
    assert ranks(table, 3) == [0.5] * 60


def test_what_has_no_rating_has_no_rank_and_moves_no_other() -> None:
    table = pl.DataFrame({"tokens": [1, 2, None, 3], "rating": [4.0, 5.0, None, None]})
    assert ranks(table, 50) == [0.25, 0.75, None, None]


def test_a_rating_that_goes_by_length_and_spreads_most_where_answers_are_short_no_longer_does() -> None:
    random = np.random.default_rng(0)
    tokens = np.rint(np.exp(random.normal(4, 1, 5000))).astype(int) + 1
    rating = np.log(tokens) + random.normal(0, 10 / tokens)
    table = pl.DataFrame({"row_id": [str(n) for n in range(5000)], "tokens": tokens, "rating": rating})
    table = table.with_columns(rank=length_rank("rating", "tokens", 50, 5000))
    assert honesty_of_score(table, "rating", "tokens").spearman > 0.8  # type: ignore[operator]
    for highest in (True, False):  # also where only few are chosen
        found = honesty_of_score(table, "rank", "tokens", share=0.05, highest=highest)
        assert found.length_auc == pytest.approx(0.5, abs=0.06)
        assert found.length_auc is not None
