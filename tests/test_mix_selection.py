"""Choice of rows for quality and diversity, and splits that let nothing through."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mix_rows import mix, row
from rows import chat
from stages.errors import ConfigError, DataError
from stages.mix.groups import check_no_leak
from stages.mix.selection import Parts, quality_of, select_rows
from stages.mix.vectors import model_vectors, text_vectors
from workbench import say_nothing

NOTHING_HELD_OUT: dict[str, Any] = {"validation_share": 0, "test_share": 0}
TOPICS = {
    "goats": "goats climb trees and eat leaves on the hill",
    "boats": "boats cross the harbour under white sails at dawn",
    "bread": "bread needs flour water salt and a hot oven",
}


def about(topic: str, count: int, **columns: Any) -> list[dict[str, Any]]:
    return [row(f"{topic} {i}", f"Number {i}: {TOPICS[topic]}.", **columns) for i in range(count)]


def test_chosen_rows_are_of_every_topic_before_they_are_of_one_twice() -> None:
    rows = [*about("goats", 40), *about("boats", 5), *about("bread", 2)]
    made = mix(rows, select_rows=3, **NOTHING_HELD_OUT)
    assert {name.split()[0] for name in made.mixture["file"]} == set(TOPICS)
    assert made.left_out["reason"].value_counts().rows() == [("not_selected", 44)]


@pytest.mark.parametrize(("asked", "expected"), [
    ({"weights": {"goats": 1, "boats": 1, "bread": 0}}, {"goats": 4, "boats": 4}),
    ({"temperature": 2}, {"goats": 6, "boats": 2, "bread": 1}),  # the square roots of 36, 4 and 1
    ({"max_seen": {"goats": 5}}, {"goats": 5, "boats": 4, "bread": 1}),
    ({"min_seen": {"bread": 1}, "max_seen": {"boats": 0}}, {"goats": 10, "bread": 1}),
])  # fmt: skip
def test_of_each_part_as_many_are_chosen_as_its_share(asked: dict[str, Any], expected: dict[str, int]) -> None:
    """The goats are chosen first where quality alone decides; then shares could not be met by what was chosen."""
    sizes = {"goats": 36, "boats": 4, "bread": 1}
    rows = [
        r for name, count in sizes.items() for r in about(name, count, source=name, symbol_share=float(name == "goats"))
    ]
    count = sum(expected.values())
    made = mix(rows, select_rows=count, quality="symbol_share", **asked, **NOTHING_HELD_OUT)
    assert dict(made.mixture["source"].value_counts().rows()) == expected
    assert made.left_out["reason"].unique().to_list() == ["not_selected"]
    assert made.told == []


def test_where_a_share_takes_fewer_than_are_chosen_the_first_ones_stay() -> None:
    rows = [r | {"response_words": i} for i, r in enumerate(about("goats", 9))]
    made = mix(rows, select_rows=6, quality="response_words", epoch_rows=2, **NOTHING_HELD_OUT)
    first = mix(rows, select_rows=2, quality="response_words", **NOTHING_HELD_OUT)
    assert made.mixture["file"].to_list() == first.mixture["file"].to_list()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=12), st.integers(1, 12), st.data()
)
def test_a_part_that_has_its_rows_is_closed(drawn: list[tuple[int, int]], count: int, data: st.DataObject) -> None:
    """Of vectors without a length all are equally far from one another: the best of the parts that are open is next."""
    most = data.draw(st.lists(st.integers(0, 4), min_size=3, max_size=3))
    part, quality = (np.array(column) for column in zip(*drawn, strict=True))
    made = select_rows(
        np.zeros((len(drawn), 3), np.float32), quality / 9, count, say_nothing, Parts(part, np.array(most))
    )
    left, expected = dict(enumerate(most)), []
    for place in sorted(range(len(drawn)), key=lambda place: (-quality[place], place)):
        if left[part[place]] and len(expected) < count:
            left[part[place]] -= 1
            expected.append(place)
    assert made.tolist() == expected


@pytest.mark.parametrize(("quality", "expected"), [("response_words", "goats 4"), ("-response_words", "goats 0")])
def test_of_rows_alike_the_better_one_is_chosen(quality: str, expected: str) -> None:
    rows = [r | {"response_words": i} for i, r in enumerate(about("goats", 5))]
    made = mix(rows, select_rows=1, quality=quality, **NOTHING_HELD_OUT)
    assert made.mixture["file"].to_list() == [expected]


def test_a_quality_that_is_no_column_of_numbers_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        ConfigError, match=r"quality names source, which is no column of numbers; those are .*response_words"
    ):
        mix(about("goats", 3), select_rows=1, quality="source", **NOTHING_HELD_OUT)


def test_a_quality_that_no_row_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="quality names judge_score, and no row has one; have it measured"):
        mix(about("goats", 3, judge_score=None), select_rows=1, quality="judge_score", **NOTHING_HELD_OUT)


def test_rows_without_a_value_are_the_last_choice() -> None:
    table = pl.DataFrame({"x": [None, 1.0, float("nan"), 2.0]})
    assert np.argsort(quality_of(table, "x"), kind="stable").tolist() == [0, 2, 1, 3]


def test_any_matrix_of_embeddings_will_do() -> None:
    vectors = np.array([[1, 0], [0.99, 0.14], [0, 1], [-1, 0]], dtype=np.float32)
    assert select_rows(vectors, np.ones(4), 3, say_nothing).tolist() == [0, 3, 2]
    assert select_rows(vectors, np.array([0.6, 1.0, 0.9, 0.8]), 2, say_nothing).tolist() == [1, 3]
    assert sorted(select_rows(vectors, np.ones(4), 9, say_nothing).tolist()) == [0, 1, 2, 3]


def test_rows_are_alike_by_their_embeddings_without_what_all_share() -> None:
    places = {"near a": [9.0, 1.0], "near b": [9.0, 1.1], "far": [9.0, -1.0], "unread": None}
    rows = [row(name, "The same words.", embedding=vector) for name, vector in places.items()]
    chosen = mix(rows, select_rows=3, alike_by="embedding", **NOTHING_HELD_OUT).mixture
    assert {"far", "unread"} < set(chosen["file"])


def test_embeddings_that_nobody_made_are_refused_with_the_setting_that_makes_them() -> None:
    with pytest.raises(ConfigError, match="no row has one; set embed under rate"):
        mix(about("goats", 3), select_rows=1, alike_by="embedding", **NOTHING_HELD_OUT)
    with pytest.raises(ConfigError, match="no row has one"):
        model_vectors(pl.DataFrame({"row_id": ["a"]}))


def test_texts_that_say_the_same_have_the_same_vector_and_others_are_far() -> None:
    vectors = text_vectors(pl.Series([TOPICS["goats"], TOPICS["goats"].upper(), TOPICS["bread"], ""]))
    assert vectors[0] @ vectors[1] == pytest.approx(1)
    assert vectors[0] @ vectors[2] < 0.4
    assert not vectors[3].any()


def test_selection_covers_more_words_than_drawing_lots() -> None:
    rows = [*about("goats", 200), *about("boats", 4), *about("bread", 4)]
    covered = {}
    for name, params in {"selected": {"select_rows": 6}, "drawn": {"max_rows": 6}}.items():
        texts = mix(rows, **params, **NOTHING_HELD_OUT).mixture["messages"].to_list()
        covered[name] = len({word for turns in texts for word in turns[0]["content"].split()})
    assert covered["selected"] > covered["drawn"]


LINKS = st.lists(st.tuples(st.sampled_from([None, *"abcdefgh"]), st.integers(0, 9)), min_size=3, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LINKS)
def test_no_group_and_no_prompt_crosses_splits(drawn: list[tuple[str | None, int]]) -> None:
    rows = [row(f"r{i}", f"Question {number}?", group_id=group) for i, (group, number) in enumerate(drawn)]
    made = mix(rows, validation_share=0.3, test_share=0.3)
    opened = made.mixture.with_columns(opening=pl.col("messages").list.first().struct.field("content"))
    for column in ("group_id", "opening"):
        parts = opened.filter(pl.col(column).is_not_null()).group_by(column).agg(pl.col("split").n_unique())
        assert set(parts["split"]) <= {1}


def test_a_choice_tells_how_far_it_goes_by_length() -> None:
    rows = [row(f"r{n}", answer="word " * n, response_words=n) for n in range(1, 101)]
    made = mix(rows, select_rows=50, quality="response_words", **NOTHING_HELD_OUT)
    told = made.of("select_rows by response_words", "choice")
    assert (told["rows_available"], told["rows_train"], told["expected_overlap"]) == (100, 50, 0.5)
    assert told["spearman"] == 1.0
    chosen = [facts["row_id"] in set(made.mixture["row_id"]) for facts in rows]
    longer = sum(a > b for a in range(100) if chosen[a] for b in range(100) if not chosen[b])
    assert told["length_auc"] == pytest.approx(longer / 2500, abs=1e-4)
    assert 0.3 < told["random_overlap"] < 0.7
    reverse = mix(rows, select_rows=50, quality="-response_words", **NOTHING_HELD_OUT)
    assert reverse.of("select_rows by -response_words", "choice")["spearman"] == -1.0
    assert mix(rows).summary.filter(part="choice").is_empty()


def test_what_one_row_asks_later_and_another_at_once_is_one_prompt() -> None:
    rows, parted = [], []
    for number in range(60):
        asked = f"How many goats does farmer number {number} keep in all?"
        first, later = row(f"at once {number}", asked), row(f"later {number}")
        turns = [f"Good day {number}.", "Hi.", f"how many goats does FARMER number {number} keep in all", "Five."]
        rows += [first, {**later, "messages": chat(*turns[:2], f"Tell me of {number}.", "Gladly.", *turns[2:])}]
        parted.append((first["row_id"], later["row_id"]))
    split = dict(mix(rows, validation_share=0.3, test_share=0.3).mixture.select("row_id", "split").rows())
    assert {split[one] == split[other] for one, other in parted} == {True}
    assert set(split.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize(("asked", "is_one_prompt"), [
    ("How many goats has farmer {} in all", True),  # eight words
    ("How many goats has farmer {} now", False),  # seven stand in many conversations that have nothing in common
])  # fmt: skip
def test_a_later_question_is_a_prompt_from_eight_words_on(asked: str, is_one_prompt: bool) -> None:
    rows = []
    for number in range(60):
        said = asked.format(number)
        later = row(f"later {number}")
        rows += [
            row(f"at once {number}", said),
            {**later, "messages": chat(f"Tell me of {number}.", "Gladly.", said, "Five.")},
        ]
    split = mix(rows, validation_share=0.3, test_share=0.3).mixture["split", "row_id"]
    of = dict(split.select("row_id", "split").rows())
    together = {of[one["row_id"]] == of[other["row_id"]] for one, other in zip(rows[::2], rows[1::2], strict=True)}
    assert together == ({True} if is_one_prompt else {True, False})


def test_a_phrase_that_many_say_later_links_nobody() -> None:
    phrase = ["Can you please explain that to me in simpler words?", "Yes."]
    rows = [{**row(f"r{n}"), "messages": chat(f"What is {n}?", "A thing.", *phrase)} for n in range(100)]
    made = mix(rows, validation_share=0.3, test_share=0.3, max_rows=30)
    assert set(made.mixture["split"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("column", ["group_id", "prompt"])
def test_a_leak_stops_the_run_and_names_rows(column: str) -> None:
    rows = pl.DataFrame({"row_id": ["r1", "r2", "r3"], "group_id": [None, None, None]}).with_columns(
        pl.col("group_id").cast(pl.String), split=pl.Series(["train", "test", "train"])
    )
    prompts = pl.DataFrame({"row_id": ["r1", "r2", "r3"], "prompt": ["a", "b", "c"]})
    check_no_leak(rows, prompts)
    rows, prompts = (
        table.with_columns(pl.lit("same").alias(column)) if column in table.columns else table
        for table in (rows, prompts)
    )
    with pytest.raises(DataError, match=r"lie in more than one split \(rows r1, r2, r3\)"):
        check_no_leak(rows, prompts)
