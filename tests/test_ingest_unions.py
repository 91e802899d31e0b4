"""Tables of several data sets, whose rows leave empty what other rows fill in -> what each row says by itself."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ingest_run import EXCHANGE, Turns, chat, ingest_records
from stages.ingest.stage import IngestParams
from stages.ingest.transform import Transform

MESSAGES = chat(*EXCHANGE)["messages"]
BRIEF = ("system", "Be brief.")
PAIR = {"prompt": "Why?", "response": "Because."}
FILLED_IN_ELSEWHERE: dict[str, tuple[dict[str, Any], Turns]] = {
    "a system prompt of a chat": ({"system": None, "system_prompt": "Be brief.", "messages": MESSAGES}, [BRIEF, *EXCHANGE]),
    "a system prompt of a pair": ({"system": "", "system_prompt": "Be brief.", **PAIR}, [BRIEF, *EXCHANGE]),
    "earlier turns": ({"history": None, "chat_history": [["Why?", "Because."]], **PAIR}, EXCHANGE * 2),
    "an answer": ({"prompt": "Why?", "response": "", "answer": "Because."}, EXCHANGE),
    "a prompt": ({"prompt": "", "question": "Why?", "answer": "Because."}, EXCHANGE),
    "turns": ({"messages": "", "conversations": MESSAGES}, EXCHANGE),
    "turns beside a question": ({"messages": [], "conversations": MESSAGES, "question": "What?"}, EXCHANGE),
    "a pair": ({"messages": "", **PAIR}, EXCHANGE),
}  # fmt: skip


def test_an_empty_field_hides_none_that_says_what_it_would(tmp_path: Path) -> None:
    made = ingest_records([record for record, _ in FILLED_IN_ELSEWHERE.values()], tmp_path)
    assert made.faults == []
    assert made.turns == [expected for _, expected in FILLED_IN_ELSEWHERE.values()]


def test_an_empty_field_hides_neither_tools_nor_reasoning(tmp_path: Path) -> None:
    beside = {"tools": [], "functions": [{"name": "add"}], "reasoning": None, "thinking": "It rains."}
    made = ingest_records([{**PAIR, **beside}, {"messages": MESSAGES, **beside}], tmp_path)
    assert [turns[-1]["reasoning_content"] for turns in made.conversations["messages"]] == ["It rains."] * 2
    assert ['"add"' in tools for tools in made.conversations["tools"]] == [True, True]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_passage_is_no_prompt_where_the_question_is_missing(nothing: str | None, tmp_path: Path) -> None:
    made = ingest_records([{"question": nothing, "context": "It rains.", "answer": "Rain."}], tmp_path)
    assert (made.turns, made.faults) == ([], [(1, "empty_prompt", "question")])


def test_a_named_column_that_is_empty_is_filled_in_by_no_other(tmp_path: Path) -> None:
    record = {"Q": None, "A": "Because.", "question": "What?", "answer": "That."}
    made = ingest_records([record, {**record, "A": None}], tmp_path, columns={"prompt": "Q", "response": "A"})
    assert made.turns == [[("user", "What?"), ("assistant", "That.")]]
    assert made.faults == [(1, "empty_prompt", "Q")]


UNION: dict[str, Any] = {
    "messages": chat(("user", "Who?"), ("assistant", "Me."))["messages"],
    "question": "Why?",
    "solution": "So.",
    "answer": "Because.",
    "chat": chat(("user", "Who?"))["messages"],
}


@pytest.mark.parametrize(
    "names", [("messages", "question", "answer"), ("question", "solution", "answer"), ("question", "answer", "chat")]
)
@pytest.mark.parametrize("nothing", [None, ""])
def test_rows_of_a_union_say_the_same_in_any_company(
    names: tuple[str, ...], nothing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.ingest.transform.MIN_ROWS_TOGETHER", 0)
    filled = product((False, True), repeat=len(names))
    rows = [{n: UNION[n] if has else nothing for n, has in zip(names, of, strict=True)} for of in filled]
    for pair in product(rows, repeat=2):
        together, alone = (Transform(IngestParams()) for _ in "ab")
        made, expected = together.found(list(enumerate(pair))), alone.each(list(enumerate(pair)))
        by_record = made.conversations.sort("record", maintain_order=True)
        assert by_record.equals(expected.conversations)
        assert made.quarantined.equals(expected.quarantined)
        assert made.dialects == expected.dialects
