"""Long conversations, which are compared turn by turn under key `turns`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup_rows import STORY, compared, dedup, jaccard, random_text, row, verdicts, with_changed_words
from rows import chat, row_id, table
from stages.dedup import update
from stages.dedup.comparison import Comparison
from stages.dedup.decisions import decide, matches_of
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Matches
from test_dedup_update import settled

TALK = [random_text(i, 12) for i in range(6)]


def test_a_conversation_that_another_one_goes_on_from_goes_for_it() -> None:
    rows = [row("part", *TALK[:4]), row("whole", *TALK)]
    assert verdicts(rows, key="turns") == {"part": ("whole", "near_duplicate", 1.0)}
    assert verdicts(rows) == {}


def test_a_conversation_that_stands_in_the_middle_of_another_one_goes_for_it() -> None:
    rows = [row("part", *TALK[2:6]), row("whole", *TALK, random_text(9, 40), random_text(10, 40))]
    assert verdicts(rows, key="turns") == {"part": ("whole", "near_duplicate", 1.0)}


def test_one_long_turn_that_two_conversations_share_does_not_make_them_the_same() -> None:
    document = random_text(1, 300)
    rows = [row(f"r{i}", document, *[random_text(10 * i + n, 8) for n in range(2, 5)]) for i in range(2)]
    assert len(verdicts(rows)) == 1
    assert verdicts(rows, key="turns") == {}


def test_conversations_that_only_share_a_long_turn_belong_together() -> None:
    document = random_text(1, 300)
    rows = [row(f"r{i}", random_text(-i, 8), document, *[random_text(10 * i + n, 8) for n in range(2, 4)])
            for i in range(2)]  # fmt: skip
    unique, _ = dedup(rows, key="turns")
    assert unique["group_id"].n_unique() == 1


def test_the_similarity_of_turns_is_that_of_the_least_similar_one() -> None:
    changed = [with_changed_words(STORY, 0), with_changed_words(STORY, 1)]
    assert jaccard(STORY, changed[1]) < jaccard(STORY, changed[0])
    rows = [row("a", STORY, TALK[0], STORY, TALK[1], TALK[2]), row("b", changed[0], TALK[0], changed[1], TALK[1])]
    expected = jaccard(STORY, changed[1])
    assert verdicts(rows, key="turns", min_similarity=0.7) == {"b": ("a", "near_duplicate", pytest.approx(expected))}
    assert verdicts(rows, key="turns", min_similarity=expected + 0.01) == {}


@pytest.mark.parametrize("turns", [[0, 2, 1, 3], [0, 1, 3, 4], [1, 0, 2, 3], [0, 1, 2, 9]])
def test_turns_in_another_order_or_with_others_between_are_another_conversation(turns: list[int]) -> None:
    said = [*TALK, *(random_text(i, 12) for i in range(6, 10))]
    assert verdicts([row("part", *(said[i] for i in turns)), row("whole", *TALK)], key="turns") == {}


def test_turns_without_words_and_the_systems_turn_do_not_count() -> None:
    spoken = [TALK[0], "...", TALK[1], TALK[2], "?!", TALK[3]]
    said = [{"role": "system", "content": "You are a poet."}, *chat(*spoken)]
    rows = [row("part", messages=said), row("whole", *TALK)]
    assert verdicts(rows, key="turns") == {"part": ("whole", "near_duplicate", 1.0)}


@pytest.mark.parametrize(("min_long_turns", "gone"), [(4, {"part"}), (5, set[str]())])
def test_shorter_conversations_are_compared_as_a_whole(min_long_turns: int, gone: set[str]) -> None:
    rows = [row("part", *TALK[:4]), row("whole", *TALK)]
    assert set(verdicts(rows, key="turns", min_long_turns=min_long_turns)) == gone
    short = [row("a", STORY, "Yes."), row("b", with_changed_words(STORY, 0), "Yes.")]
    assert verdicts(short, key="turns", min_long_turns=min_long_turns) == verdicts(short)


def test_a_conflicting_answer_in_a_long_conversation_is_as_similar_as_all_that_is_said() -> None:
    rows = [row("long", *TALK[:3], random_text(7, 20)), row("short", *TALK[:3], random_text(8, 9))]
    expected = jaccard(*(" ".join(turn["content"] for turn in r["messages"]) for r in rows))
    assert 0.5 < expected < 0.8
    told = ("long", "conflicting_answer", pytest.approx(expected))
    assert verdicts(rows, key="turns", conflicting_answers="keep_best") == {"short": told}


def test_the_verdict_names_the_key_that_a_row_was_compared_by() -> None:
    short = [row(name, "Who was it?", "A goat.") for name in ("a", "b")]
    _, gone = dedup([row("part", *TALK[:4]), row("whole", *TALK), *short], key="turns")
    assert dict(gone.select("file", "matched_key").rows()) == {
        "part": "turns",
        max("ab", key=row_id): "conversation",
    }


def test_a_better_source_stays_beside_a_conversation_that_says_more() -> None:
    rows = [row("part", *TALK[:4], source="hand"), row("whole", *TALK, source="crawl")]
    assert verdicts(rows, key="turns", prefer_sources=["hand"]) == {}
    assert set(verdicts(rows, key="turns", prefer_sources=["crawl"])) == {"part"}


def test_many_copies_of_a_conversation_leave_one_and_popular_turns_leave_all() -> None:
    copies = [row(f"copy {i}", *TALK[:5], f"{TALK[5]} {i}") for i in range(30)]
    polite = [row(f"polite {i}", random_text(i, 15), "You are welcome, I help gladly.", "Thanks!", random_text(-i, 9))
              for i in range(30)]  # fmt: skip
    found = verdicts([*copies, *polite], key="turns")
    assert len(found) == 29
    assert all(name.startswith("copy") for name in found)


# Turns of which neighbours are alike and others are not, and pieces of talk that stand in one another.
CHAIN = st.integers(0, 4).map(lambda first: " ".join("abcdefghijklmnopqrstuvwxyz"[2 * first : 2 * first + 12]))
TURN = st.one_of(CHAIN, CHAIN, st.sampled_from(["thanks", "go on", "?"]))
TALKS = st.lists(st.tuples(st.lists(TURN, min_size=1, max_size=5), st.sampled_from("pq")), min_size=2, max_size=9)
VALUES = st.fixed_dictionaries(
    {"min_similarity": st.sampled_from([0.5, 0.7]), "group_similarity": st.sampled_from([None, 0.5, 0.7])}
)
FIXED: dict[str, Any] = {
    "key": "turns", "min_long_turns": 2, "shingle_words": 1, "prefer_sources": ["p", "q"], "max_row_share": None
}  # fmt: skip


def similarity_by_hand(better: list[str], other: list[str]) -> float:
    """As the stage defines it, with a loop over everything."""
    better, other = ([turn for turn in turns if turn != "?"] for turns in (better, other))
    if len(other) < 2:
        return set_jaccard(" ".join(better), " ".join(other))
    places = range(len(better) - len(other) + 1)
    return max((min(set_jaccard(better[at + n], turn) for n, turn in enumerate(other)) for at in places), default=0.0)


def set_jaccard(one: str, other: str) -> float:
    a, b = set(one.split()), set(other.split())
    return len(a & b) / len(a | b) if a | b else 0.0


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TALKS, VALUES)
def test_verdicts_are_those_of_a_walk_over_all_pairs(
    talks: list[tuple[list[str], str]], values: dict[str, Any]
) -> None:
    rows = [row(f"r{i}", *turns, source=source) for i, (turns, source) in enumerate(talks)]
    now = compared(table("conversations", rows), DedupParams(**FIXED, **values))
    said = {row_id(f"r{i}"): turns for i, (turns, _) in enumerate(talks)}
    order, decided = now.corpus.row_ids.gather(now.corpus.place).to_list(), decide(now, matches_of(now))
    stays: list[str] = []
    for place, name in enumerate(order):
        like = {other: similarity_by_hand(said[other], said[name]) for other in stays}
        for_whom = next((o for o in stays if like[o] >= values["min_similarity"] or said[o] == said[name]), None)
        survivor = decided.survivor[place]
        assert (order[survivor] if survivor >= 0 else None) == for_whom
        if for_whom is None:
            stays.append(name)
        elif said[for_whom] != said[name]:
            assert decided.similarity[place] == pytest.approx(like[for_whom])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TALKS, st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=2), VALUES)
def test_verdicts_carried_over_are_those_of_comparing_everything_anew(
    monkeypatch: pytest.MonkeyPatch,
    talks: list[tuple[list[str], str]],
    history: list[list[bool]],
    values: dict[str, Any],
) -> None:
    monkeypatch.setattr(update, "MOST_NEW", 1.0)
    monkeypatch.setattr(update, "MOST_TURNS", 100)
    params = DedupParams(**FIXED, **values)
    rows = [row(f"r{i}", *turns, source=source) for i, (turns, source) in enumerate(talks)]
    before: tuple[Comparison, Matches] | None = None
    for there in [*history, [True] * len(rows)]:
        now = compared(table("conversations", [r for r, chosen in zip(rows, there, strict=False) if chosen]), params)
        anew = matches_of(now)
        found = update.updated(now, settled(*before, now)) if before else anew
        assert found is not None
        assert all(np.array_equal(a, b) for a, b in zip(decide(now, anew), decide(now, found), strict=True))
        before = now, found
