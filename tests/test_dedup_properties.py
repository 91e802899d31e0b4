import gzip
import json
import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup_rows import dedup, jaccard, planted, row
from shared_data import shared_data
from stages.dedup.groups import connected
from stages.dedup.minhash import Bands, bands_for
from stages.dedup.similarity import Similarity

WORDS = list("abcdefghijklmnop")
PIECES = st.tuples(st.integers(0, 4), st.integers(8, 16), st.sampled_from(["", "x", "x y"]))
QUESTIONS = st.lists(PIECES.map(lambda piece: " ".join([*WORDS[piece[0] : piece[1]], piece[2]])), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(QUESTIONS, st.sampled_from([0.5, 0.6, 0.65, 0.8]), st.sampled_from([0.5, 0.6, 0.75]))
def test_verdicts_and_groups_are_those_of_a_walk_over_all_pairs(
    questions: list[str], least: float, group: float
) -> None:
    rows = [row(f"r{i}", question, "Yes." * (i % 3)) for i, question in enumerate(questions)]
    text_of = {r["row_id"]: question for r, question in zip(rows, questions, strict=True)}
    stay: list[str] = []
    for r in sorted(rows, key=lambda r: (-len(r["messages"][1]["content"]), r["row_id"])):
        if all(jaccard(text_of[r["row_id"]], text_of[other]) < least for other in stay):
            stay.append(r["row_id"])
    unique, gone = dedup(rows, key="prompt", min_similarity=least, group_similarity=group, max_row_share=None)
    assert dict(unique.select("row_id", "group_id").rows()) == groups_by_hand(stay, text_of, group)
    for goer, survivor, similarity in gone.select("row_id", "survivor_id", "similarity").rows():
        assert similarity == pytest.approx(jaccard(text_of[goer], text_of[survivor]))
        assert similarity >= least
        assert survivor in stay


def groups_by_hand(stay: list[str], text_of: dict[str, str], least: float) -> dict[str, str]:
    group = {row_id: row_id for row_id in stay}
    for _ in stay:
        for one in stay:
            alike = [other for other in stay if jaccard(text_of[one], text_of[other]) >= least]
            group[one] = min(group[other] for other in alike)
    return group


def test_planted_near_duplicates_are_found_and_nothing_else_goes() -> None:
    rows, pairs = planted(3000, seed=5)
    unique, gone = dedup(rows)
    stayed = set(unique["file"])
    assert len(pairs) > 500
    assert sum(one in stayed and other in stayed for one, other in pairs) <= len(pairs) * 0.001
    text_of = {r["row_id"]: r["messages"][0]["content"] + " yes" for r in rows}
    for goer, survivor in gone.select("row_id", "survivor_id").rows():
        assert jaccard(text_of[goer], text_of[survivor]) >= 0.8


@pytest.mark.parametrize("seed", [1, 2])
def test_neither_the_order_of_the_rows_nor_the_seed_of_the_hashes_changes_the_result(seed: int) -> None:
    rows, _ = planted(300, seed=9)
    expected = dedup(rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert all(a.equals(b) for a, b in zip(expected, dedup(shuffled, seed=seed), strict=True))


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.6, 0.8, 0.95, 1.0])
def test_bands_are_as_long_and_as_few_as_recall_at_the_threshold_allows(similarity: float) -> None:
    bands = bands_for(similarity)
    assert bands.recall(similarity) >= 0.9999
    assert bands.bands == 1 or Bands(bands.bands - 1, bands.rows).recall(similarity) < 0.9999


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_linked_rows_have_the_lowest_of_them_in_common(links: list[tuple[int, int]]) -> None:
    expected = list(range(10))
    for _ in range(10):
        for a, b in links:
            expected[a] = expected[b] = min(expected[a], expected[b])
    columns = pl.DataFrame(links, schema={"a": pl.Int64, "b": pl.Int64}, orient="row")
    assert connected(10, columns["a"].to_numpy(), columns["b"].to_numpy()).tolist() == expected


@pytest.mark.slow
def test_alpaca_loses_less_than_one_row_in_a_thousand() -> None:
    with gzip.open(shared_data("alpaca/alpaca_data.json.gz")) as file:
        records = json.load(file)
    rows = [row(f"{i}", f"{r['instruction']}\n\n{r['input']}", r["output"]) for i, r in enumerate(records)]
    unique, gone = dedup(rows)
    assert unique.height + gone.height == len(rows)
    assert 1 <= gone.height < len(rows) / 1000


SLOTS = st.lists(st.sampled_from(["red", "green", "blue", "one", "two", "of three"]), min_size=2, max_size=5).map(
    " ".join
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 2), SLOTS), max_size=14), st.sampled_from([0.5, 0.65]))
def test_what_is_left_may_be_compared_at_once_after_any_round(filled: list[tuple[int, str]], group: float) -> None:
    """Rows made from two templates: all share keys, and may be alike or not."""
    rows = [row(f"r{i}", " ".join([*WORDS[: 6 * template], slot])) for i, (template, slot) in enumerate(filled)]
    outcomes = []
    for looks in ({}, {1}, {2}):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stages.dedup.survivors.LOOKS", looks)
            outcomes.append(dedup(rows, min_similarity=0.75, group_similarity=group, max_row_share=None))
    assert all(a.equals(b) for outcome in outcomes for a, b in zip(outcomes[0], outcome, strict=True))


def test_rows_made_from_one_template_do_not_take_a_round_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source has too few of them to show that it is a template."""
    calls: list[int] = []
    compare = Similarity.compare
    monkeypatch.setattr(Similarity, "compare", lambda *given: calls.append(len(given[1])) or compare(*given))
    template, draw = [f"t{n}" for n in range(20)], random.Random(3)
    slots = [[f"w{draw.randrange(10_000)}" for _ in range(8)] for _ in range(300)]
    rows = [row(f"r{i}", " ".join(template + slot), source=f"s{i % 30}") for i, slot in enumerate(slots)]
    unique, _ = dedup(rows)
    assert unique.height == 300
    assert len(calls) < 50
    assert sum(calls) < 2_000  # of 45,000 pairs: the others have too much of their own
