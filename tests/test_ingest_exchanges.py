"""Chats as pairs of question and answer, and tables written as one object -> conversations, or faults where they stand."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest_run import EXCHANGE, Turns, chat, ingest_records, ingest_text


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ([["Why?", "Because."], ["Why?", "Because."]], EXCHANGE * 2),
        (["Why?", "Because."], EXCHANGE),
        ([["human", "Why?"], ["gpt", "Because."]], EXCHANGE),
    ],
)
def test_a_bare_list_of_pairs_is_a_conversation(record: list[Any], expected: Turns, tmp_path: Path) -> None:
    made = ingest_records([record], tmp_path)
    assert (made.turns, made.faults) == ([expected], [])


def test_a_file_that_is_a_list_of_pairs_holds_an_exchange_in_each(tmp_path: Path) -> None:
    made = ingest_text('[["Why?", "Because."],\n ["Why?", " "]]', tmp_path, "pairs.json")
    assert made.turns == [EXCHANGE]
    assert made.faults == [(1, "empty_answer", "messages[0][1]")]


def test_what_is_at_fault_in_an_exchange_is_told_where_it_stands(tmp_path: Path) -> None:
    exchange = {"input": "Why?", "output": "Because."}
    off = exchange | {"output_with_loss": False}
    made = ingest_records(
        [{"conversation": [exchange, exchange | {"output": ""}]}, {"conversation": [off, exchange]}], tmp_path
    )
    assert made.faults == [(1, "empty_answer", "conversation[1].output")]
    assert made.conversations["supervised"].to_list() == [[False, True]]


COLUMNS = {"instruction": ["Why?", "Why?", "Why?"], "output": ["Because.", "", "So."], "category": ["qa", "qa", None]}


SPLIT = {
    "columns": list(COLUMNS),
    "index": [0, 1, 2],
    "data": [list(row) for row in zip(*COLUMNS.values(), strict=True)],
}


@pytest.mark.parametrize("form", ["lists", "pandas", "split"])
def test_a_table_that_is_one_object_gives_a_conversation_for_each_row(form: str, tmp_path: Path) -> None:
    numbered = {name: {str(n): cell for n, cell in enumerate(cells)} for name, cells in COLUMNS.items()}
    made = ingest_records([{"lists": COLUMNS, "pandas": numbered, "split": SPLIT}[form]], tmp_path)
    assert made.turns == [EXCHANGE, [("user", "Why?"), ("assistant", "So.")]]
    assert made.conversations["task"].to_list() == ["qa", None]
    assert made.faults == [(1, "empty_answer", "output[1]")]


@pytest.mark.parametrize(
    "columns",
    [
        {"instruction": ["Why?", "Why?"], "output": ["Because."]},
        {"instruction": {"0": "Why?", "1": "How?"}, "output": {"0": "Because.", "2": "So."}},
        {"instruction": ["Why?"], "input": "It rains.", "output": ["Because."]},
        {"questions": ["Why?", "And then?"], "answers": ["Because.", "Nothing."]},  # perhaps one chat
    ],
)
def test_lists_that_may_be_no_columns_are_set_aside(columns: dict[str, Any], tmp_path: Path) -> None:
    made = ingest_records([columns], tmp_path)
    assert made.turns == []
    assert [reason for _, reason, _ in made.faults] == ["not_text"]


@pytest.mark.parametrize(
    "fields",
    [
        {"data": [["Why?", "Because.", "qa"], ["Why?"]]},
        {"columns": ["instruction", "output", "output"]},
        {"columns": ["instruction", "output", 3]},
    ],
)
def test_a_split_table_whose_cells_have_no_column_is_set_aside(fields: dict[str, Any], tmp_path: Path) -> None:
    assert ingest_records([SPLIT | fields], tmp_path).facts["reasons"] == {"unknown_dialect": 1}


@pytest.mark.parametrize("role", ["user", "function"])
def test_calls_and_their_results_may_be_parts_without_a_type(role: str, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "parts": [{"text": "1 + 2?"}]},
        {"role": "model", "parts": [{"text": "Wait."}, {"functionCall": {"name": "add", "args": {"a": 1, "b": 2}}}]},
        {"role": role, "parts": [{"functionResponse": {"name": "add", "response": {"sum": 3}}}]},
        {"role": "model", "parts": [{"text": "3"}]},
    ]
    made = ingest_records(
        [{"contents": turns}, {"contents": [turns[0], {"role": "model", "parts": [{"functionCall": {}}]}]}], tmp_path
    )
    assert made.turns == [[("user", "1 + 2?"), ("assistant", "Wait."), ("tool", '{"sum": 3}'), ("assistant", "3")]]
    (call,) = json.loads(made.conversations["messages"][0][1]["tool_calls"])
    assert call == {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    assert made.faults == [(2, "unknown_content_part", "contents[1].parts[0]")]


def node(parent: str | None, role: str = "", *parts: str, kind: str = "text", **facts: Any) -> dict[str, Any]:
    content = {"content_type": kind, "parts": list(parts)}
    return {"parent": parent, "message": {"author": {"role": role}, "content": content, **facts} if role else None}


def export(**nodes: dict[str, Any]) -> dict[str, Any]:
    start = {"root": node(None), "hidden": node("root", "system", ""), "asked": node("hidden", "user", "Why?")}
    return {"title": "Rain", "mapping": {**start, **nodes}, "current_node": "last"}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (export(last=node("asked", "assistant", "Because."), other=node("asked", "assistant", "No idea.")), EXCHANGE),
        (export(last=node("asked", "assistant", "Because.")) | {"current_node": None}, EXCHANGE),
        (export(end=node("asked", "assistant", "A."), other=node("asked", "assistant", "B.")), "no_turns"),
        (export(last=node("gone", "assistant", "Because.")), "missing_parent"),
        (export(last=node("last", "assistant", "Because.")), "missing_parent"),
        (export(last=node("asked", "assistant", "print(1)", kind="code")), "unknown_content_part"),
        (export(last=node("asked", "assistant", kind="multimodal_text")), "image_content"),
        (export(last=node("asked", "assistant", "Because.", weight=0)), "excluded_turn"),
        (export(last={"parent": "asked", "message": "Because."}), "not_a_turn"),
    ],
)
def test_of_an_export_the_path_that_is_shown_is_a_conversation(
    record: dict[str, Any], expected: Any, tmp_path: Path
) -> None:
    made = ingest_records([record], tmp_path)
    assert (made.turns or made.quarantined["reason"].to_list()) == [expected]


def test_columns_without_answers_are_set_aside(tmp_path: Path) -> None:
    made = ingest_records([{"instruction": ["Why?"], "output": None}], tmp_path)
    assert made.facts["reasons"] == {"not_text": 1}


def test_tools_that_are_declared_together_are_tools_each(tmp_path: Path) -> None:
    tool = {"name": "add", "parameters": {"type": "object"}}
    record = {**chat(("user", "1 + 2?"), ("assistant", "3")), "tools": [{"functionDeclarations": [tool, tool]}]}
    made = ingest_records([record], tmp_path)
    assert json.loads(made.conversations["tools"][0]) == [{"type": "function", "function": tool}] * 2


def test_a_fault_behind_joined_calls_is_told_where_it_stands(tmp_path: Path) -> None:
    calls = [("function_call", json.dumps({"name": name, "arguments": {}})) for name in "ab"]
    made = ingest_records([chat(("user", "q"), *calls, ("tool", "1"), ("assistant", " "))], tmp_path)
    assert made.faults == [(1, "empty_answer", "messages[4]")]


def test_turns_may_stand_in_columns(tmp_path: Path) -> None:
    made = ingest_records(
        [
            {"conversations": {"from": ["human", "gpt"], "value": ["Why?", "Because."]}},
            {"conversations": {"from": ["human", "gpt"], "value": ["Why?"]}},
        ],
        tmp_path,
    )
    assert made.turns == [EXCHANGE]
    assert made.faults == [(2, "no_turns", "conversations")]
