"""Fields whose text no conversation holds -> told by name, and counted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ingest_run import EXCHANGE, Turns, chat, ingest_records
from stages.ingest.job import run
from stages.ingest.stage import IngestParams
from stages.ingest.transform import Ingested, Transform
from stages.raw_files.json_blocks import Block
from stages.raw_files.source_files import list_source_files
from workbench import lend

NOTE = "A chemist in Oslo, who measures what rains there."
QUESTION: Turns = [("user", f"Who is it? {NOTE}"), EXCHANGE[1]]
PAIR = {"prompt": "Why?", "response": "Because."}
UNREAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "beside a chat": ({"persona": NOTE, **chat(*EXCHANGE)}, ["persona"]),
    "beside a pair, in a list too": ({**PAIR, "reference": [NOTE], "notes": {"by": NOTE}}, ["reference"]),
    "beside a document": ({"text": "Once.", "code": NOTE}, ["code"]),
    "beside instances": ({"instruction": "Spell.", "instances": [{"input": "1", "output": "one"}], "note": NOTE}, ["note"]),
    "beside what two say in turn": ({"narrative": NOTE, "dialogue": ["Why?", "Because."]}, ["narrative"]),
    "within a wrapper": ({"data": {**PAIR, "note": NOTE}}, ["data.note"]),
    "an answer beside turns": ({**chat(*EXCHANGE), "solution": NOTE}, ["solution"]),
}  # fmt: skip
READ_OR_SHORT: list[dict[str, Any]] = [
    {**chat(*QUESTION), "prompt": NOTE, "notes": [NOTE]},
    {**PAIR, "title": "Rain in May", "url": "https://example.com/" + "x" * 60, "score": 2.5, "note": None, "blank": " " * 60},
    {"prompt": NOTE, "system": NOTE, "context": NOTE, "reasoning": NOTE, "response": "Because.", "history": [["Why?", NOTE]]},
    {"prompt": f"Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
               f"### Instruction:\n{NOTE}\n\n### Response:", "response": "Because."},
    {"chat": f"USER: {NOTE}\n\n\nASSISTANT: Because. <|endoftext|>", "system": f"SYSTEM: {NOTE}"},
]  # fmt: skip


def test_fields_with_texts_that_no_conversation_holds_are_told(tmp_path: Path) -> None:
    made = ingest_records([record for record, _ in UNREAD.values()], tmp_path)
    assert made.facts["unread"] == {"data": {field: 1 for _, fields in UNREAD.values() for field in fields}}
    assert made.facts["told"][0].startswith("data: records have texts that no conversation holds, code in 1, ")
    assert "and 2 more fields" in made.facts["told"][0]


def test_what_is_read_and_what_is_a_label_is_not_told(tmp_path: Path) -> None:
    made = ingest_records(READ_OR_SHORT, tmp_path)
    assert made.faults == []
    assert (made.facts["unread"], made.facts["told"]) == ({}, [])


def test_what_was_read_before_is_told_again(tmp_path: Path) -> None:
    lines = "".join(json.dumps({**PAIR, "note": NOTE, "n": n}) + "\n" for n in range(3))
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    for parsed in (1, 0):
        outputs = {name: tmp_path / str(parsed) / name for name in ("conversations", "quarantined")}
        for output in outputs.values():
            output.mkdir(parents=True)
        bench = lend(tmp_path / "scratch")
        facts = run(list_source_files([tmp_path / "a.jsonl"]), **outputs, params=IngestParams(), workbench=bench)
        assert (facts["files_parsed"], facts["unread"]) == (parsed, {"a": {"note": 3}})


TOGETHER: dict[str, Sequence[dict[str, Any]]] = {
    "pair": [{"prompt": prompt, "response": answer, "note": note} for prompt, answer in [("Why?", "So."), (NOTE, "No."), ("", "So.")] for note in (NOTE, "short", f" {NOTE}")],
    "chat": [{**chat(*turns), "note": note} for turns in (EXCHANGE, QUESTION, EXCHANGE[:1]) for note in (NOTE, "short")],
}  # fmt: skip


@pytest.mark.parametrize("kind", TOGETHER)
def test_records_together_tell_what_each_tells_by_itself(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MIN_BYTES_TOGETHER", "MIN_ROWS_TOGETHER"):
        monkeypatch.setattr(f"stages.ingest.transform.{name}", 0)
    rows = TOGETHER[kind]
    block = Block(0, "".join(json.dumps(row) + "\n" for row in rows).encode(), "lines")
    transform = Transform(IngestParams())
    made: list[Ingested] = [
        transform.block(block),
        transform.found(list(enumerate(rows))),
        transform.each(enumerate(rows)),
    ]
    assert [one.unread for one in made] == [{"note": 2 if kind == "pair" else 1}] * 3
