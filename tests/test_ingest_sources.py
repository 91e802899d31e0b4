"""Exports that take more than one record at a time -> conversations: wrapped lists, books, patterns of files."""

import gzip
import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_run import EXCHANGE, ingest, ingest_records, ingest_text
from record_files import faults, read, values
from shared_data import shared_data
from stages.errors import UsageError
from stages.execution.request import Request
from stages.execution.runner import run_stage
from stages.ingest.stage import IngestParams
from stages.pipeline import STAGES
from stages.raw_files.source_files import is_source, list_source_files
from stages.store.tables import read_table

ROOT = Path(__file__).resolve().parent.parent
RECORDS = [{"instruction": f"q{n}", "output": "a"} for n in range(3)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("wrapper", "expected"),
    [
        ({"data": RECORDS}, RECORDS),
        ({"version": "1.1", "count": 3, "Data": RECORDS, "info": {"a": [1]}, "note": "x", "list": [1]}, RECORDS),
        ({"train": RECORDS, "test": RECORDS[:1]}, [*RECORDS, *RECORDS[:1]]),
        ({"data": [1, 2]}, [{"data": [1, 2]}]),
        ({"conversations": [{"from": "human", "value": "q"}]}, [{"conversations": [{"from": "human", "value": "q"}]}]),
    ],
)
def test_the_records_in_an_object_around_a_list_are_records(
    wrapper: dict[str, Any], expected: list[object], indent: int | None, tmp_path: Path
) -> None:
    made = read(tmp_path, json.dumps(wrapper, indent=indent))
    assert values(made) == expected
    assert faults(made) == []


def test_a_wrapped_list_that_is_cut_or_goes_on_is_told(tmp_path: Path) -> None:
    text = json.dumps({"data": RECORDS})
    assert faults(read(tmp_path, text[:-1])) == [(None, "truncated")]
    assert faults(read(tmp_path, text[:-5])) == [(2, "truncated")]
    assert faults(read(tmp_path, text + "{}")) == [(None, "trailing_data")]
    assert faults(read(tmp_path, text[:-1] + ', "x": }')) == [(None, "invalid_json")]


def test_lines_that_are_wrapped_lists_stay_lines(tmp_path: Path) -> None:
    assert len(values(read(tmp_path, (json.dumps({"data": RECORDS}) + "\n") * 2))) == 2


BOOK = "Title: X\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\r\n\r\nOne.\r\n\r\nTwo.\r\n\r\n{end}\r\n\r\nLicence text.\r\n"
ENDS = ["*** END OF THIS PROJECT GUTENBERG EBOOK X ***", "End of the Project Gutenberg EBook of X, by Y", "***END OF THE PROJECT GUTENBERG EBOOK X***"]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_the_licence_around_a_book_is_left_out_by_name(end: str, tmp_path: Path) -> None:
    for name in ("on", "off", "json"):
        (tmp_path / name).mkdir()
    made = ingest_text(BOOK.format(end=end), tmp_path / "on", "book.txt")
    assert made.turns == [[("text", "One.\n\nTwo.")]]
    assert made.facts["repairs"] == {"gutenberg_licence_removed": 1}
    untouched = ingest_text(BOOK.format(end=end), tmp_path / "off", "book.txt", repairs=[])
    assert "Licence text." in untouched.turns[0][0][1]
    assert untouched.facts["repairs"] == {}
    made = ingest_records([{"text": BOOK.format(end=end).replace("\r", "")}], tmp_path / "json")
    assert made.turns == [[("text", "One.\n\nTwo.")]]


def test_real_books_lose_their_licence_and_nothing_else(tmp_path: Path) -> None:
    made = ingest(shared_data("prose/pride_and_prejudice.txt"), folder=tmp_path)
    text = "\n".join(turns[0][1] for turns in made.turns)
    assert "It is a truth universally acknowledged" in text
    assert text.count("Gutenberg") == 0
    assert made.facts["repairs"] == {"gutenberg_licence_removed": 2}


@pytest.mark.parametrize(
    ("header", "row", "is_told"),
    [
        ("Customer Question,Bot Answer,question_id", "Why?,Because.,7", True),
        ("faq-question;faq answer", "Why?;Because.", True),
        ("Problem,Solution", "Why?,Because.", True),
        ("Q,A", "Why?,Because.", True),
        ("user,assistant", "Why?,Because.", True),
        ("Question one,Question two,Answer", "Why?,Who?,Because.", False),
        ("user,text", "me,Because.", False),
    ],
)
def test_columns_are_told_by_the_words_in_their_names(header: str, row: str, is_told: bool, tmp_path: Path) -> None:
    made = ingest_text(f"question,answer\nq,a\n{header}\n", tmp_path, "first.csv")
    (tmp_path / "data.csv").write_text(f"{header}\n{row}\n")
    (tmp_path / "two").mkdir()
    made = ingest(tmp_path / "first.csv", tmp_path / "data.csv", folder=tmp_path / "two")
    assert (EXCHANGE in made.turns) == is_told


@pytest.mark.parametrize(
    "names",
    [("response_j", "response_k"), ("response_0", "response_1"), ("answer_1", "answer_2"), ("output_a", "output_b")],
)
def test_two_answers_to_choose_from_are_no_conversation(names: tuple[str, str], tmp_path: Path) -> None:
    made = ingest_records([{"question": "q", names[0]: "a", names[1]: "b"}], tmp_path)
    assert made.faults == [(1, "preference_pair", names[0])]


def test_control_tokens_may_be_let_through(tmp_path: Path) -> None:
    record = {"prompt": "What does <|im_end|> do?", "response": "It ends a turn."}
    assert len(ingest_records([record], tmp_path, special_token_pattern=None).turns) == 1


def test_a_pattern_names_files_and_nothing_behind_links(tmp_path: Path) -> None:
    outside, raw = tmp_path / "outside", tmp_path / "raw"
    for folder in (outside, raw / "a" / "deep", raw / "b"):
        folder.mkdir(parents=True)
    for path in (
        outside / "x.jsonl",
        raw / "a" / "1.jsonl",
        raw / "a" / "deep" / "2.jsonl",
        raw / "b" / "3.csv",
        raw / "a" / ".hidden.jsonl",
    ):
        path.write_text("{}")
    (raw / "link").symlink_to(outside)
    (raw / "a" / "file.jsonl").symlink_to(outside / "x.jsonl")

    def named(pattern: str) -> list[tuple[str, str, str | None]]:
        return [(file.source, file.name, file.problem) for file in list_source_files([raw / pattern])]

    assert named("*/*.jsonl") == [("a", "a/1.jsonl", None), ("a", "a/file.jsonl", "symbolic link")]
    assert named("**/*.jsonl") == [
        ("a", "a/1.jsonl", None),
        ("a", "a/deep/2.jsonl", None),
        ("a", "a/file.jsonl", "symbolic link"),
    ]
    assert named("[ab]") == [*named("**/*.jsonl"), ("b", "b/3.csv", None)]
    assert is_source(raw / "*.*") is is_source(raw / "none") is False
    assert is_source(raw / "*")
    with pytest.raises(UsageError, match="matches no file"):
        named("*.parquet")


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    """A zip from another system has such names; whatever reads the file must open it by its bytes."""
    folder = tmp_path / os.fsdecode(b"l\xe9s")
    folder.mkdir()
    table = pl.DataFrame({"instruction": ["Why?"], "output": ["Because."]})
    write = {
        "a.jsonl": table.write_ndjson,
        "b.csv": table.write_csv,
        "c.parquet": table.write_parquet,
        "d.arrow": table.write_ipc,
    }
    for name, write_as in write.items():
        write_as(tmp_path / name)
        (tmp_path / name).rename(folder / os.fsdecode(b"\xff" + name.encode()))
    asked = Request(
        STAGES["ingest"], IngestParams(), {"raw": [folder]}, "", output=tmp_path / "out", progress_form="off"
    )
    outcome = run_stage(asked)
    made = read_table(outcome.folder / "conversations").sort("file").collect()
    assert made["source"].to_list() == ["l\\xe9s"] * 4
    assert made["file"].to_list() == [f"\\xff{name}" for name in write]
    assert outcome.receipt["outputs"]["quarantined"]["rows"] == 0


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw" / "shut").mkdir(parents=True)
    (tmp_path / "raw" / "a.jsonl").write_text('{"instruction": "q", "output": "a"}')
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    made = ingest(tmp_path / "raw", folder=tmp_path)
    assert made.faults == [(None, "unreadable", None)]
    assert made.quarantined["file"].to_list() == ["shut"]


def bomb(kind: str) -> bytes:
    """A small Parquet file of three row groups, the middle one of which unpacks to more than it should."""
    texts = {
        "page": lambda: pa.array(["x" * (280 << 20)]),
        "dictionary": lambda: pa.DictionaryArray.from_arrays(
            pa.array([0] * 400, pa.int32()), pa.array(["x" * (20 << 20)])
        ),
    }[kind]()
    sound = [pa.array([f"q{number}"]).cast(texts.type) for number in (0, 2)]
    target = io.BytesIO()
    types = pa.schema([("instruction", texts.type), ("output", pa.string())])
    with pq.ParquetWriter(target, types, compression="zstd", use_dictionary=kind == "dictionary") as writer:
        for column in (sound[0], texts, sound[1]):
            writer.write_table(pa.table({"instruction": column, "output": ["a"] * len(column)}, schema=types))
    return target.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["page", "dictionary"])
def test_a_parquet_bomb_costs_its_rows_and_little_memory(kind: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.parquet").write_bytes(bomb(kind))
    code = """
        import json, resource, sys
        from pathlib import Path
        from stages.raw_files.records import Record, read_records
        from stages.raw_files.source_files import SourceFile
        found = list(read_records(SourceFile("here", "bomb.parquet", Path(sys.argv[1]), "")))
        sound = [record.value["instruction"] for record in found if isinstance(record, Record)]
        reasons = sorted({record.reason for record in found if not isinstance(record, Record)})
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        unbounded = resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
        print(json.dumps([sound, reasons, int(peak.split()[1]), unbounded]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "bomb.parquet")]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    sound, given, kib, is_limit_lifted = json.loads(told.stdout)
    assert sound == ["q0", "q2"]
    assert given in (["record_too_long"], ["row_group_too_large"])  # by what the process had room for
    assert kib < 1 << 20
    assert is_limit_lifted


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "txt"])
def test_a_record_of_fifty_megabytes_costs_itself_alone(form: str, tmp_path: Path) -> None:
    long = "x" * 50_000_000
    sound = {"question": "Why?", "answer": "Because."}
    rows = [sound, {"question": long, "answer": "a"}, sound]
    text = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "json": json.dumps(rows),
        "csv": "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in rows),
        "txt": f"one\n\n{long}\n\ntwo\n",
    }[form]
    (tmp_path / f"data.{form}.gz").write_bytes(gzip.compress(text.encode(), 1))
    made = ingest(tmp_path / f"data.{form}.gz", folder=tmp_path)
    assert made.turns == ([[("text", "one")], [("text", "two")]] if form == "txt" else [EXCHANGE, EXCHANGE])
    assert [(record, reason) for record, reason, _ in made.faults] == [
        (1, "record_too_long" if form == "json" else "line_too_long")
    ]
