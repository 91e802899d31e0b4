"""Records inside of other values -> the conversations that users mean, with faults told where they stand."""

import json
from pathlib import Path
from typing import Any

from ingest_run import EXCHANGE, Turns, chat, ingest, ingest_records, ingest_text
from stages.ingest.records_within import CARRIED_IN
from stages.ingest.spellings import CONTEXTS, PROMPT_NAMES, SPELLINGS
from stages.raw_files.json_values import SAID_OF_ALL

PAIR = {"instruction": "Why?", "output": "Because."}
ANSWER = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Because."}}],
}
BATCH = {"id": "1", "custom_id": "r1", "response": {"status_code": 200, "body": ANSWER}, "error": None}
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}


def written(text: str, **more: str) -> dict[str, Any]:
    return {"user_id": "u", "value": text, **more}


def studio(name: str, text: object, **more: Any) -> dict[str, Any]:
    return {
        "result": [{"from_name": name, "value": {"text": text}}, {"from_name": "good", "value": {"rating": 4}}],
        **more,
    }


READ: list[tuple[object, list[Turns]]] = [
        ({"id": 1, "data": PAIR}, [EXCHANGE]),
        ({"row_idx": 0, "row": chat(*EXCHANGE), "truncated_cells": []}, [EXCHANGE]),
        ({"total": 2, "data": {"items": [PAIR, PAIR]}}, [EXCHANGE] * 2),
        ({"results": [PAIR, PAIR]}, [EXCHANGE] * 2),
        ([PAIR, PAIR], [EXCHANGE] * 2),
        ({"conversations": [chat(*EXCHANGE), chat(*EXCHANGE)]}, [EXCHANGE] * 2),
        ({"dialog": ["Why?", "Because.", "Why?", "Because."], "act": [1, 2, 1, 2]}, [EXCHANGE * 2]),
        ({"messages": {"0": chat(*EXCHANGE)["messages"], "1": chat(*EXCHANGE)["messages"]}}, [EXCHANGE] * 2),
        # Argilla, version 2, 1, and as a table
        ({"fields": {"prompt": "Why?"}, "responses": {"answer": [written("Because."), written("So.", status="draft")]}}, [EXCHANGE]),
        ({"fields": PAIR, "responses": {"quality": [written("good")]}, "suggestions": {}}, [EXCHANGE]),
        ({"fields": PAIR | {"output": "No."}, "responses": {"corrected_answer": [written("Because.")] * 2}}, [EXCHANGE]),
        ({"fields": {"prompt": "Why?"}, "responses": [{"values": {"response": {"value": "Because."}}, "status": "submitted"}]}, [EXCHANGE]),
        ({"prompt": "Why?", "response": [written("Because.", status="submitted")], "response-suggestion": "No."}, [EXCHANGE]),
        # Label Studio
        ({"id": 1, "data": {"prompt": "Why?"}, "annotations": [studio("answer", ["Because."]), studio("answer", "So.", was_cancelled=True)]}, [EXCHANGE]),
        ({"data": PAIR, "annotations": [studio("remark", "fine")], "predictions": [studio("output", "No.")]}, [EXCHANGE]),
        # logs of OpenAI's and others
        ({"request": ASKED, "response": ANSWER}, [EXCHANGE]),
        ({**ASKED, "choices": ANSWER["choices"]}, [EXCHANGE]),
        ({"request": {**ASKED, "system": "Be brief."}, "response": {"type": "message", "stop_reason": "end_turn", **ANSWER["choices"][0]["message"]}}, [[("system", "Be brief."), *EXCHANGE]]),
        ({"title": "Rain", "chat": {"models": ["m"], **chat(*EXCHANGE)}}, [EXCHANGE]),
        # what is said of all records within
        ({"instruction": "Add.", "examples": [{"input": "1 2", "output": "3"}]}, [[("user", "Add.\n\n1 2"), ("assistant", "3")]]),
        ({"context": "It rains.", "system": "Be brief.", "data": [{"question": "Why?", "answer": "Rain."}]},
         [[("system", "Be brief."), ("user", "Why?\n\nIt rains."), ("assistant", "Rain.")]]),
]  # fmt: skip


def test_records_are_read_where_they_stand(tmp_path: Path) -> None:
    made = ingest_records([record for record, _ in READ], tmp_path)
    assert made.faults == []
    for number, (record, expected) in enumerate(READ, 1):
        read = made.conversations.filter(record=number)
        assert made._replace(conversations=read).turns == expected, record


SET_ASIDE: list[tuple[object, str, str | None]] = [
        (BATCH, "answer_alone", "response"),
        ({"custom_id": "r9", "method": "POST", "url": "/v1", "body": ASKED}, "request_alone", "body.messages"),
        ({"custom_id": "r8", "params": ASKED}, "request_alone", "params.messages"),
        ({**ASKED, "choices": ANSWER["choices"] * 2}, "several_answers", "choices"),
        ({"data": {"text": "good film"}, "annotations": [{"result": []}]}, "unknown_dialect", None),
        ({"fields": {"prompt": "Why?"}, "responses": {"mood": [written("good")]}}, "no_prompt", "responses"),
        ({"fields": PAIR, "responses": {"answer": [written("a")], "short_answer": [written("b")]}}, "several_answers", "responses"),
        ({"row": PAIR | {"output": " "}}, "empty_answer", "row.output"),
        ({"row_idx": 0, "row": PAIR, "truncated_cells": ["output"]}, "cut_off", "truncated_cells"),
        ({"data": {"rows": [PAIR | {"output": 3}]}}, "not_text", "data.rows[0].output"),
        ([PAIR | {"output": "a\0"}], "nul_character", "[0].output"),
        ({"data": PAIR, "record": PAIR}, "unknown_dialect", None),  # which of them?
        ({"question_id": 1, "conversation_a": chat(*EXCHANGE)["messages"], "conversation_b": []}, "preference_pair", "conversation_a"),
        ({"dialog": ["Why?", " "]}, "empty_answer", "dialog[1]"),
        ({"dialogue": ["Why?", "Because.", "No.", "Yes."], "speakers": ["A", "B", "C", "A"]}, "unknown_dialect", None),
        ({"type": "message", "user": "U1", "text": "Why?", "ts": "1.2"}, "unknown_dialect", None),  # Slack
        ({"messages": [{"from": "Alice", "text": "Why?"}]}, "unknown_role", "messages[0].from"),
        ({"conversations": ["User: Why?", "Bot: Because."]}, "not_a_turn", "conversations[0]"),
        ({**BATCH, "response": None, "error": {"message": "too late"}}, "failed_request", "error"),
        ({**BATCH, "response": {"status_code": 400, "body": {"error": {"message": "no"}}}}, "failed_request", "response.body.error"),
        ({"custom_id": "r1", "result": {"type": "expired"}}, "failed_request", "result"),
        ({**ASKED, "choices": [{**ANSWER["choices"][0], "finish_reason": "length"}]}, "cut_off", "choices[0].finish_reason"),
        ({"request": ASKED, "response": {"type": "message", "stop_reason": "max_tokens", **ANSWER["choices"][0]["message"]}}, "cut_off", "stop_reason"),
]  # fmt: skip


def test_what_is_no_record_of_use_is_told_where_it_stands(tmp_path: Path) -> None:
    made = ingest_records([record for record, _, _ in SET_ASIDE], tmp_path)
    assert made.turns == []
    assert made.faults == [(number, reason, field) for number, (_, reason, field) in enumerate(SET_ASIDE, 1)]


def test_requests_and_answers_in_two_files_of_a_folder_are_joined(tmp_path: Path) -> None:
    def asked(name: str, text: str = "Why?") -> dict[str, Any]:
        return {"custom_id": name, "url": "/v1", "body": {"messages": chat(("user", text))["messages"]}}

    def answered(name: str) -> dict[str, Any]:
        return {**BATCH, "custom_id": name}

    raw = tmp_path / "raw" / "batch"
    raw.mkdir(parents=True)
    other = {"custom_id": "r4", "params": {"system": "Be brief.", **chat(("user", "Why?"))}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "Because."}]}
    for name, records in {
        "a/sound.jsonl": [PAIR, answered("r1")],  # of another folder
        "answers.jsonl": [answered(n) for n in ("r2", "r1", "lost", "twice")] + [{"custom_id": "r4", "result": {"type": "succeeded", "message": message}}],
        "requests.jsonl": [asked("r1"), asked("r2", "Why? "), asked("r3"), asked("twice"), asked("twice"), other],
    }.items():  # fmt: skip
        (raw / name).parent.mkdir(exist_ok=True)
        text = "".join(json.dumps(record) + "\n" for record in records)
        (raw / name).write_text(text.replace("}\n", ",}\n", 1) if name == "answers.jsonl" else text)
    made = ingest(tmp_path / "raw", folder=tmp_path / "both")
    assert made.conversations.select("file", "record").rows() == [
        *[("batch/a/sound.jsonl", 0)], *[("batch/answers.jsonl", number) for number in (0, 1, 4)]
    ]  # fmt: skip
    assert made.turns[1:] == [[("user", "Why? "), EXCHANGE[1]], EXCHANGE, [("system", "Be brief."), *EXCHANGE]]
    assert made.conversations["repairs"].to_list() == [None, ["trailing_commas_removed"], None, None]
    alone = [(1, "answer_alone", "response"), (2, "answer_alone", "response"), (3, "duplicate_custom_id", "custom_id")]
    doubled = [(number, "duplicate_custom_id", "custom_id") for number in (3, 4)]
    assert made.faults == [*alone, (2, "request_alone", "body.messages"), *doubled]
    (raw / "answers.jsonl").unlink()
    made = ingest(tmp_path / "raw", folder=tmp_path / "one")
    assert made.facts["reasons"] == {"request_alone": 6, "answer_alone": 1}


def test_what_is_said_of_all_records_of_a_file_is_read_with_each_however_it_is_called(tmp_path: Path) -> None:
    """One object is the whole file: where what it says belongs to its records, it is not read as a long array is."""
    names = {*PROMPT_NAMES, *CONTEXTS, *(name for meaning in CARRIED_IN for name in SPELLINGS[meaning])}
    assert set(SAID_OF_ALL) == names
    told = {"version": 3, "System-Prompt": "Be brief.", "category": "why", "weight": 0.5, "document": "It rains."}
    made = ingest_text(json.dumps({**told, "data": [{"question": "Why?", "answer": "Rain."}] * 2}), tmp_path)
    turns = [("system", "Be brief."), ("user", "Why?\n\nIt rains."), ("assistant", "Rain.")]
    assert made.turns == [turns, turns]
    assert made.conversations.select("task", "weight").rows() == [("why", 0.5)] * 2
    (tmp_path / "behind").mkdir()
    made = ingest_text(json.dumps({"data": [PAIR], "Loss Weight": 0.5}), tmp_path / "behind")
    assert (made.turns, made.faults) == ([EXCHANGE], [(None, "trailing_data", None)])


def test_what_stands_around_records_is_told_with_their_dialect(tmp_path: Path) -> None:
    made = ingest_records([{"data": [PAIR, PAIR | {"weight": 3}], "weight": 0.5, "category": "why"}], tmp_path)
    assert made.facts["dialects"] == {"alpaca in data": 2, "alpaca": 1}
    assert made.conversations.select("task", "weight").rows() == [("why", 0.5), ("why", 3.0)]


def test_turns_in_a_table_may_be_in_python_s_notation_or_as_numpy_shows_them(tmp_path: Path) -> None:
    turns = str(chat(*EXCHANGE)["messages"])
    shown = turns.replace("}, {", "}\n {")
    made = ingest_text(f'id,messages\n1,"{turns}"\n2,"[1"\n3,"{shown}"\n', tmp_path, "data.csv")
    assert made.turns == [EXCHANGE, EXCHANGE]
    assert made.facts["repairs"] == {"python_literal_read": 2}
    assert made.faults == [(1, "no_turns", "messages")]
