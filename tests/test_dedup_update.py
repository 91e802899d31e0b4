"""What an earlier run found is carried over to a changed corpus, with the outcome of comparing everything anew."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup_rows import compared, row
from rows import table
from stages.dedup import update
from stages.dedup.comparison import Comparison
from stages.dedup.decisions import decide, matches_of
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Matches
from stages.dedup.update import Settled, updated

# Neighbours in a chain of texts are alike and others are not, and any of them may be the best.
CHAIN = st.integers(0, 11).map(lambda first: " ".join("abcdefghijklmnopqrstuvwxyz"[first : first + 12]))
ANSWERS = st.one_of(CHAIN, CHAIN, CHAIN, st.sampled_from(["?", "...", ""]))
PIECES = st.tuples(st.sampled_from(["", "?", "why", "who was it"]), ANSWERS, st.sampled_from("pqrst"))
ROWS = st.lists(PIECES, min_size=6, max_size=14)
HISTORIES = st.lists(st.lists(st.booleans(), min_size=14, max_size=14), min_size=1, max_size=3)


def settled(before: Comparison, found: Matches, now: Comparison) -> Settled:
    """What `found` says of the rows that stand for a text before and now."""
    names, then = (c.corpus.row_ids.gather(c.corpus.place).to_list() for c in (now, before))
    place = {row_id: place for place, row_id in enumerate(names) if now.with_words[place]}
    row = [place.get(name, -1) if before.with_words[i] else -1 for i, name in enumerate(then)]
    return Settled.carried(found, np.array(row, dtype=np.int64), now.corpus.rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ROWS,
    HISTORIES,
    st.fixed_dictionaries(
        {
            "min_similarity": st.sampled_from([0.5, 0.7, 0.8]),
            "group_similarity": st.sampled_from([None, 0.5, 0.6]),
            "conflicting_answers": st.sampled_from(["keep_all", "keep_best"]),
            "key": st.sampled_from(["conversation", "response", "turns"]),
            "min_long_turns": st.just(2),
        }
    ),
)
def test_verdicts_carried_over_are_those_of_comparing_everything_anew(
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[tuple[str, str, str]],
    history: list[list[bool]],
    values: dict[str, Any],
) -> None:
    monkeypatch.setattr(update, "MOST_NEW", 1.0)
    monkeypatch.setattr(update, "MOST_TURNS", 100)
    params = DedupParams(shingle_words=1, prefer_sources=list("pqrst"), **values)
    rows = [row(f"r{i}", question, answer, source=source) for i, (question, answer, source) in enumerate(pieces)]
    before: tuple[Comparison, Matches] | None = None
    for there in [*history, [True] * len(rows)]:
        now = compared(table("conversations", [r for r, chosen in zip(rows, there, strict=False) if chosen]), params)
        anew = matches_of(now)
        found = updated(now, settled(*before, now)) if before else anew
        assert found is not None
        expected, got = decide(now, anew), decide(now, found)
        assert all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True))
        before = now, found


def test_a_row_comes_back_when_its_survivor_goes_for_a_new_one_that_is_not_like_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(update, "MOST_NEW", 1.0)
    params = DedupParams(min_similarity=0.7, group_similarity=None, shingle_words=1, prefer_sources=["new", "then"])
    texts = [" ".join("abcdefghijklmnopqrstuvwxyz"[first : first + 12]) for first in (0, 2, 4)]
    new, survivor, goes = (
        row(source, "", text, source=source) for source, text in zip(["new", "then", "least"], texts, strict=True)
    )
    before = compared(table("conversations", [survivor, goes]), params)
    found = matches_of(before)
    assert len(found.removed) == 1
    now = compared(table("conversations", [new, survivor, goes]), params)
    turns = []
    among = Comparison.match_among
    monkeypatch.setattr(Comparison, "match_among", lambda self, rows: turns.append(rows) or among(self, rows))
    decided = decide(now, updated(now, settled(before, found, now)) or found)
    assert decided.survivor.tolist() == [-1, 0, -1]
    assert len(turns) == 1  # it was known from the start that its survivor might go


def test_of_a_corpus_that_changed_too_much_nothing_is_carried_over() -> None:
    now = compared(table("conversations", [row("a", "Why?", "So."), row("b", "Who?", "A goat.")]), DedupParams())
    nothing = np.zeros(now.corpus.rows, dtype=np.bool_)
    assert updated(now, Settled(nothing, Matches.none())) is None
