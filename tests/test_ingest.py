"""Raw files -> conversations, and what is set aside with its reason."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_run import ingest, ingest_records, ingest_text, rows_left
from shared_data import shared_data
from stages.errors import DataError
from stages.ingest.job import run
from stages.ingest.stage import IngestParams
from stages.raw_files.source_files import list_source_files
from workbench import lend


def test_columns_can_be_named(tmp_path: Path) -> None:
    content = "Frage,Antwort,Art\nWarum?,Darum.,kurz\n,Darum.,kurz\n"
    columns = {"prompt": "frage", "response": "ANTWORT", "task": "Art"}
    made = ingest_text(content, tmp_path, "data.csv", columns=columns)
    assert made.turns == [[("user", "Warum?"), ("assistant", "Darum.")]]
    assert made.conversations["task"].to_list() == ["kurz"]
    assert made.faults == [(1, "empty_prompt", "Frage")]


def test_the_column_of_the_turns_can_be_named(tmp_path: Path) -> None:
    dialog = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    records = [{"dialog": dialog, "topic": "causes"}, {"dialog": json.dumps(dialog), "topic": None}, {"dialog": "Why?"}]
    made = ingest_records(records, tmp_path, columns={"messages": "Dialog", "task": "topic"})
    assert made.turns == [[("user", "Why?"), ("assistant", "Because.")]] * 2
    assert made.conversations["task"].to_list() == ["causes", None]
    assert made.faults == [(3, "unknown_dialect", None)], "it lacks a column that was named"


@pytest.mark.parametrize("columns", [{"prompt": "a"}, {"task": "a"}, {"promt": "a", "response": "b"}])
def test_a_mapping_of_columns_that_makes_no_conversation_is_refused(columns: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="columns"):
        IngestParams(columns=columns)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
rows = st.lists(st.fixed_dictionaries({"instruction": texts, "input": texts, "output": texts}), min_size=1, max_size=8)


def as_csv(records: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


SERIALISED: dict[str, Callable[[list[dict[str, str]]], str]] = {
    "data.json": json.dumps,
    "indented.json": lambda records: json.dumps(records, indent=2, ensure_ascii=False),
    "data.jsonl": lambda records: "\n".join(json.dumps(record, ensure_ascii=False) for record in records),
    "data.csv": as_csv,
}


@settings(max_examples=40, deadline=None)
@given(records=rows)
def test_the_form_of_a_file_changes_no_row(
    records: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    results = []
    whole = [{"instruction": "Say a.", "input": "", "output": "a"}, *records]
    for name, serialise in SERIALISED.items():
        folder = tmp_path_factory.mktemp("form")
        made = ingest_text(serialise(whole), folder, name)
        results.append((made.turns, made.conversations["content_id"].to_list(), made.faults))
        assert made.facts["records_read"] == len(whole)
        assert {*made.conversations["record"], *made.quarantined["record"]} == set(range(len(whole)))
    assert results == results[:1] * len(results)


def test_ids_survive_renamed_files_other_orders_forms_and_spacing(tmp_path: Path) -> None:
    records = [{"instruction": f"q{n % 3}", "output": "a  b\u0041\u030a"} for n in range(7)]
    records.append({"instruction": "q0\x1f", "output": "a b\u00c5"})  # a control character, no white space to Unicode
    first, second = tmp_path / "1" / "set", tmp_path / "2" / "set"
    first.mkdir(parents=True)
    (second / "deep").mkdir(parents=True)
    (first / "a.json").write_text(json.dumps(records))
    changed = [{"prompt": record["instruction"], "response": "a b\u00c5\n"} for record in reversed(records)]
    (second / "z.jsonl").write_text("".join(json.dumps(record) + "\n" for record in changed[:3]))
    (second / "b.csv").write_text(as_csv(changed[3:]))
    one, other = ingest(first, folder=tmp_path / "x"), ingest(second, folder=tmp_path / "y")
    assert one.conversations["row_id"].n_unique() == 8
    assert sorted(one.conversations["row_id"]) == sorted(other.conversations["row_id"])
    assert one.conversations["content_id"].n_unique() == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in one.conversations["row_id"])


def test_equal_rows_of_two_sources_have_ids_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "data.json").write_text(json.dumps([{"instruction": "q", "output": "a"}]))
    made = ingest(tmp_path / "raw", folder=tmp_path)
    assert made.conversations["source"].to_list() == ["one", "two"]
    assert made.conversations["content_id"].n_unique() == 1
    assert made.conversations["row_id"].n_unique() == 2


def test_rows_say_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "raw" / "set" / "deep").mkdir(parents=True)
    file = tmp_path / "raw" / "set" / "deep" / "data.json"
    file.write_text(json.dumps([{"bad": 1}, {"instruction": "q", "output": "a"}]))
    made = ingest(tmp_path / "raw", folder=tmp_path)
    [listed] = list_source_files([tmp_path / "raw"])
    where = ["source", "file", "file_sha256", "record"]
    assert made.conversations.select(where).rows() == [("set", "set/deep/data.json", listed.sha256, 1)]
    assert made.quarantined.select([*where, "byte_offset"]).rows() == [
        ("set", "set/deep/data.json", listed.sha256, 0, 1)
    ]


def test_one_broken_file_or_line_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(b'{"instruction": "q", "output": "a"}\n{"instruction": "q", "out\xff\n')
    (tmp_path / "raw" / "b.jinja").write_text("{{ messages }}")
    (tmp_path / "raw" / "c.json").symlink_to(tmp_path / "raw" / "a.jsonl")
    made = ingest(tmp_path / "raw", folder=tmp_path)
    assert len(made.turns) == 1
    assert made.faults == [(1, "invalid_utf8", None), (None, "unsupported_format", None), (None, "symbolic_link", None)]
    assert made.quarantined["file_sha256"].null_count() == 1
    assert made.facts == {
        "files": 3,
        "files_parsed": 3,
        "files_reused": 0,
        "records_read": 2,
        "dialects": {"alpaca": 1},
        "repairs": {},
        "reasons": {"invalid_utf8": 1, "symbolic_link": 1, "unsupported_format": 1},
        "weights": {},
        "unread": {},
        "told": [],
    }


def test_a_source_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="holds no file; give a folder or file"):
        ingest(tmp_path / "raw", folder=tmp_path)


def test_a_full_quarantine_is_refused_with_the_reasons_and_an_example(tmp_path: Path) -> None:
    content = "".join(json.dumps(record) + "\n" for record in [{"instruction": "q", "output": ""}, {"a": 1}, {"a": 2}])
    with pytest.raises(DataError) as caught:
        ingest_text(content, tmp_path)
    told = str(caught.value)
    assert "not one conversation in 3 records of 1 files: unknown_dialect 2, empty_answer 1" in told
    assert "data.jsonl, record 0: empty_answer, field output" in told
    assert pl.read_parquet(tmp_path / "out" / "quarantined" / "*.parquet").height == 3


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder / "raw").mkdir(parents=True)
        (tmp_path / folder / "raw" / "a.jsonl").write_text('{"text": "a"}')
    with pytest.raises(DataError, match="1 files share their source and name"):
        ingest(tmp_path / "x" / "raw", tmp_path / "y" / "raw", folder=tmp_path)


REAL = {  # file -> records, conversations
    "alpaca/alpaca_zh_demo.json": (1_000, 1_000),
    "alpaca/seed_tasks.jsonl": (175, 175),
    "sharegpt/dummy_conversation.json": (500, 500),
    "sharegpt/glaive_toolcall_en_demo.json": (300, 300),
    "openai/toy_chat_fine_tuning.jsonl": (10, 7),
    "openai/reason_tool_use_demo_50.jsonl": (50, 50),
    "openai/oasst_en_100_messages.jsonl.gz": (564, 564),
    "oasst/en_100_tree.jsonl": (100, 546),
    "dolly/dolly_3k.jsonl": (2_996, 2_996),
    "prompt_response/dolly_hhrlhf_train_small.jsonl": (1_000, 1_000),
    "csv/jeopardy_qasheet.csv": (102, 99),
    "prose/c4_demo.jsonl": (300, 300),
    "eval/gsm8k_test.jsonl": (1_319, 1_319),
    "eval/mt_bench_question.jsonl": (80, 31),
    "math/gsm8k_train.jsonl.gz": (7_473, 7_473),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_whole(name: str, tmp_path: Path) -> None:
    made = ingest(shared_data(name), folder=tmp_path)
    records, conversations = REAL[name]
    assert (made.facts["records_read"], made.conversations.height) == (records, conversations)
    assert {*made.conversations["record"], *made.quarantined["record"]} == set(range(records))


def test_alpaca_is_all_there_but_for_its_empty_answers_and_missing_images(tmp_path: Path) -> None:
    made = ingest(shared_data("alpaca/alpaca_data.json.gz"), folder=tmp_path)
    assert made.conversations.height + made.quarantined.height == 52_002
    assert made.facts["reasons"] == {"empty_answer": 28, "image_content": 5, "placeholder_answer": 52}
    assert made.facts["repairs"] == {"placeholder_input_removed": 564}
    assert made.conversations["row_id"].n_unique() == made.conversations.height


def test_the_preamble_is_gone_from_a_real_export(tmp_path: Path) -> None:
    made = ingest(shared_data("prompt_response/dolly_hhrlhf_train_small.jsonl"), folder=tmp_path)
    assert made.facts["repairs"] == {"preamble_removed": 1_000}
    assert made.turns[0][0] == ("user", "what is kangen water?")
    assert not any("###" in turns[0][1] for turns in made.turns)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.ingest.reading.MIN_BYTES_TO_SHARE", 0)
    files = list_source_files([shared_data(folder) for folder in ("dolly", "sharegpt", "oasst", "csv")])
    results = []
    for workers in (1, 2):
        outputs = {name: tmp_path / str(workers) / name for name in ("conversations", "quarantined")}
        for output in outputs.values():
            output.mkdir(parents=True)
        bench = replace(lend(tmp_path / str(workers) / "scratch"), workers=workers)
        facts = run(files, **outputs, params=IngestParams(), workbench=bench)
        results.append((facts, [rows_left(output) for output in outputs.values()]))
    (facts, tables), (other_facts, other_tables) = results
    assert facts == other_facts
    assert all(table.equals(other) for table, other in zip(tables, other_tables, strict=True))
