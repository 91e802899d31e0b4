"""The short way through ingest, blocks of a long file, and files read before -> the very rows of the long way."""

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_run import chat, ingest, rows_left
from stages.contract import Workbench
from stages.errors import TryAgain
from stages.ingest.job import run
from stages.ingest.stage import IngestParams
from stages.ingest.transform import Ingested, Transform
from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_blocks import Block
from stages.raw_files.records import Found, Record, read_blocks, read_records
from stages.raw_files.source_files import SourceFile, list_source_files
from workbench import lend

ODD = [
    *("", " ", "\x1c", "\u2003", "none", "N/A", "<noinput>", "no input.", "<nooutput>", " < no output >", "a\0b", "\\", 'x\\"', '"', "{", "}, {"),
    *("{{name}}", "Below is an instruction that describes a task. Write", "NaN", "Human: q\nAssistant:", "é", "e\u0301", "\ud800", "答案", "😀", "a  b\n", "\r\n", "\x85", "<b>", '[{"role": "user", "content": "q"}]', '{"messages": [{"role": "user", "content": "q"}]}', "<|im_start|>user\nq<|im_end|>", "A"),
]  # fmt: skip
texts = st.sampled_from(ODD) | st.lists(st.sampled_from([*ODD, "word", "line"]), max_size=4).map(" ".join)
VALUES = st.none() | st.integers() | st.booleans() | st.floats() | st.lists(texts, max_size=2)
alike = st.fixed_dictionaries({"instruction": texts, "input": texts, "output": texts}) | texts.map(
    lambda text: {"instruction": text, "input": text, "output": "a"}
)
others = st.sampled_from(
    [
        {"instruction": "q", "output": "a"},
        {"instruction": "q", "input": "", "output": "a", "category": "c"},
        {"output": "a", "input": "i", "instruction": "order"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"instruction": "q", "input": "", "output": "a", "images": ["x.png"]},
        7,
    ]
)
odd_types = st.builds(lambda row, name, value: {**row, name: value}, alike, st.sampled_from(["instruction", "input", "output"]), VALUES)  # fmt: skip
records = st.lists(alike | alike | others | odd_types, min_size=1, max_size=9)
turns = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "Human", "tool", ""]), "content": texts})
    | st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none() | st.integers(), "weight": st.just(0)}),
    max_size=3,
)  # fmt: skip
exchanges = st.lists(st.tuples(texts, texts), min_size=1, max_size=2).map(
    lambda pairs: [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
)
systems = st.lists(texts.map(lambda text: {"role": "system", "content": text}), max_size=1)
chats = st.fixed_dictionaries(
    {"id": st.just("x") | texts, "messages": st.builds(list.__add__, systems, exchanges) | turns}
)
LINES = ["// a comment", ' /* {"instruction" */', '{"instruction": "a", "input": "", "output": "b"} // c',
         '{"instruction": "a", "input": "", "output": "b", "output": "c"}', '{"\\u0069nput": "", "input": "x", "instruction": "a", "output": "b"}',
         '{"instruction": "a\\\\", "input": "", "output": "b", "output": "c\\\\"}', '{"instruction": "a", "input": "", "output": "b"} 7',
         '{"instruction": "a", "input": "", "output": }', "", "  ", '\x0c', '{"instruction": "a", \r "input": "", "output": "b"}',
         '{"instruction": "tab\there", "input": "", "output": "b"}', '{"a": NaN}', '{"instruction": "a", "input": "", "output": "/\\/"}']  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _few_records_go_together_too() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MIN_BYTES_TOGETHER", "MIN_ROWS_TOGETHER"):
            patch.setattr(f"stages.ingest.transform.{name}", 0)
        yield


def slow(block: Block, transform: Transform) -> Ingested:
    return transform.each([(offset, block.value(element)) for offset, element in block.elements()])


def rows_of(made: Ingested) -> tuple[Any, ...]:
    conversations = made.conversations.sort("record", maintain_order=True)
    return conversations.rows(), sorted(map(repr, made.quarantined.rows())), made.records, made.dialects


FIRST: dict[str, Any] = {
    "pair": {"instruction": "Say a.", "input": "", "output": "a"},
    "chat": {"id": "0", "messages": [{"role": "user", "content": "Say a."}, {"role": "assistant", "content": "a"}]},
}


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_the_short_way_gives_the_rows_of_the_long_way(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["pair", "chat"]))
    rows = data.draw(records if kind == "pair" else st.lists(chats | chats | others, min_size=1, max_size=9))
    first, *given_records = [json.dumps(row, ensure_ascii=data.draw(st.booleans())) for row in [FIRST[kind], *rows]]
    params = IngestParams(
        placeholder_pattern=data.draw(st.sampled_from([None, "wo.d", IngestParams().placeholder_pattern])),
        special_token_pattern=data.draw(st.sampled_from(["li.e", IngestParams().special_token_pattern])),
    )
    if data.draw(st.booleans()):
        given_records += data.draw(st.lists(st.sampled_from(LINES), max_size=2))
        lines = "".join(line + data.draw(st.sampled_from(["\n", "\r\n", "\r"])) for line in [first, *given_records])
        block = Block(data.draw(st.integers(0, 9)), lines.encode("utf-8", "surrogatepass"), "lines")
    else:
        between = data.draw(st.sampled_from([",", ",\n    "]))
        text = between.join(
            record for record in [first, *given_records] if "\\ud800" not in record and "NaN" not in record
        )
        block = Block(5, text.encode("utf-8", "replace"), "elements")
        if "Infinity" in text:
            return  # no block is made of elements that only Python's reader takes
    assert rows_of(Transform(params).block(block)) == rows_of(slow(block, Transform(params)))


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(["pair", "chat"]), data=st.data())
def test_rows_of_tables_together_give_what_each_gives_by_itself(kind: str, data: st.DataObject) -> None:
    rows = data.draw(records if kind == "pair" else st.lists(chats | chats | others, min_size=1, max_size=9))
    damaged = data.draw(st.lists(st.just(Damage("invalid_utf8", "byte 0xff")), max_size=1))
    found = [(7 * number, value) for number, value in enumerate([FIRST[kind], *rows, *damaged])]
    assert rows_of(Transform(IngestParams()).found(found)) == rows_of(Transform(IngestParams()).each(found))


@pytest.mark.parametrize("kind", ["pair", "chat"])
def test_alike_records_do_go_the_short_way(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a sound record went the long way")

    monkeypatch.setattr(Transform, "each", refuse)
    monkeypatch.setattr("stages.ingest.dialects.Dialect.read", refuse)
    pairs = [{"instruction": f"q{n}", "input": "i" * (n % 2), "output": "a\n"} for n in range(9)]
    turns = [[("system", "s")] * (n % 2) + [("user", f"q{n}"), ("assistant", "a")] for n in range(9)]
    rows: list[dict[str, Any]] = pairs if kind == "pair" else list(starmap(chat, turns))  # type: ignore[assignment]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    made = Transform(IngestParams()).block(Block(0, lines.encode(), "lines"))
    again = Transform(IngestParams()).found([(0, row) for row in rows])
    assert made.conversations.equals(again.conversations)
    assert made.conversations.height == made.records == 9
    contents = [turn["content"] for turn in made.conversations["messages"][1]]
    assert contents == (["q1\n\ni", "a\n"] if kind == "pair" else ["s", "q1", "a"])


def expanded(file: SourceFile) -> list[tuple[int | None, object]]:
    """The records of all blocks, as `read_records` would give them."""
    found: list[Found] = []
    fault: list[tuple[int | None, object]] = []
    try:
        for unit in read_blocks(file, max_record_bytes=1 << 20, text_chars=100):
            found += [(o, unit.value(e)) for o, e in unit.elements()] if isinstance(unit, Block) else unit
    except Damage as damage:
        fault = [(None, damage.reason)]
    return [(o, value.reason if isinstance(value, Damage) else value) for o, value in found] + fault


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_blocks_hold_the_records_of_the_file_whatever_their_size(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [{"k": n, "text": data.draw(st.sampled_from(["}, {", '{"k": 1}, {"k": 2}', "[", "é\\", ""])), "replies": data.draw(st.sampled_from([[], [{"k": 1}, {"k": 2}]]))}
            for n in range(data.draw(st.integers(1, 9)))]  # fmt: skip
    form = data.draw(st.sampled_from(["array", "indented", "lines"]))
    text = (
        "".join(json.dumps(row) + "\n" for row in rows)
        if form == "lines"
        else json.dumps(rows, indent=2 if form == "indented" else None)
    )
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from(["", "NaN", '"', "\\"])) + text[at + 1 :]
    path = tmp_path_factory.mktemp("blocks") / "data.json"
    path.write_text(text, encoding="utf-8")
    file = SourceFile("here", "data.json", path, "0" * 64)
    found = [
        (r.byte_offset, r.value)
        if isinstance(r, Record)
        else (r.byte_offset if r.index is not None else None, r.reason)
        for r in read_records(file)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.raw_files.json_blocks.BLOCK_BYTES", data.draw(st.sampled_from([32, 200, 1 << 22])))
        patch.setattr("stages.raw_files.json_blocks.SLICE_BYTES", data.draw(st.sampled_from([16, 1 << 16])))
        patch.setattr("stages.raw_files.json_blocks.MIN_STRETCH", data.draw(st.sampled_from([1, 256])))
        # Two lines tell the form of a file, so that no chunk is shorter.
        patch.setattr("stages.raw_files.byte_stream.CHUNK_BYTES", data.draw(st.sampled_from([150, 1 << 20])))
        cut = expanded(file)
    sound = [pair for pair in found if not isinstance(pair[1], str)]
    assert [pair for pair in cut if not isinstance(pair[1], str)] == sound
    assert bool(cut[len(sound) :]) == bool(found[len(sound) :])


def alpaca(count: int, word: str = "q") -> str:
    return "".join(
        json.dumps({"instruction": f"{word} {n % 50}", "input": "", "output": "a" if n % 9 else ""}) + "\n"
        for n in range(count)
    )


def result(
    raw: Path, folder: Path, workers: int = 1, cache: Path | None = None
) -> tuple[dict[str, Any], list[pl.DataFrame]]:
    """Facts and both tables in canonical order."""
    outputs = {name: folder / name for name in ("conversations", "quarantined")}
    for output in outputs.values():
        output.mkdir(parents=True)
    bench: Workbench = replace(lend(folder / "scratch"), workers=workers)
    bench = replace(bench, cache=cache) if cache else bench
    facts = run(list_source_files([raw]), **outputs, params=IngestParams(), workbench=bench)
    order = {"conversations": ["row_id"], "quarantined": ["file", "record", "field", "reason"]}
    return facts, [rows_left(output).sort(order[name]) for name, output in outputs.items()]


@pytest.mark.slow
def test_one_long_file_is_read_by_two_workers_with_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text(alpaca(3_000) + "{broken\n" + alpaca(3_000))
    (tmp_path / "raw" / "b.json").write_text(json.dumps([json.loads(line) for line in alpaca(3_000).splitlines()]))
    (tmp_path / "raw" / "c.json.gz").write_bytes(gzip.compress(alpaca(3_000).encode())[:-9])
    one = result(tmp_path / "raw", tmp_path / "1")
    for name in ("reading.MIN_BYTES_TO_SHARE", "reading.MIN_BYTES_TO_CUT", "finish.MIN_ROWS_TO_SHARE"):
        monkeypatch.setattr(f"stages.ingest.{name}", 0)
    monkeypatch.setattr("stages.raw_files.json_blocks.BLOCK_BYTES", 20_000)
    two = result(tmp_path / "raw", tmp_path / "2", workers=2)
    assert one[0] == two[0]
    assert one[0]["records_read"] == 12_001
    for table, other in zip(one[1], two[1], strict=True):
        assert table.equals(other)


def test_a_run_after_files_changed_gives_the_rows_of_a_fresh_one_and_parses_only_what_changed(tmp_path: Path) -> None:
    raw, cache = tmp_path / "raw", tmp_path / "cache"
    (raw / "set").mkdir(parents=True)
    cache.mkdir()
    (raw / "set" / "a.jsonl").write_text(alpaca(40))
    (raw / "set" / "b.jsonl").write_text(alpaca(60))
    (raw / "set" / "c.csv").write_text("question,answer\nwhy,because\n")

    def step(name: str, parsed: int, reused: int) -> list[pl.DataFrame]:
        facts, tables = result(raw, tmp_path / name, cache=cache)
        fresh = result(raw, tmp_path / f"{name}-fresh")
        assert (facts["files_parsed"], facts["files_reused"]) == (parsed, reused)
        assert all(table.equals(other) for table, other in zip(tables, fresh[1], strict=True))
        return tables

    step("first", 3, 0)
    step("again", 0, 3)
    (raw / "set" / "b.jsonl").write_text(alpaca(70, "w"))
    (raw / "set" / "d.jsonl").write_text(alpaca(20))
    step("changed", 2, 2)
    (raw / "set" / "a.jsonl").unlink()
    tables = step("removed", 0, 3)
    assert "set/a.jsonl" not in tables[0]["file"].unique().to_list()
    (raw / "set" / "c.csv").rename(raw / "set" / "renamed.csv")
    step("renamed", 0, 3)
    for part in cache.rglob("*.arrow"):
        part.write_bytes(part.read_bytes()[:-8] + b"tampered")
    step("damaged", 3, 0)
    shutil.rmtree(cache)
    cache.mkdir()
    step("vanished", 3, 0)


def test_nothing_unchanged_is_opened_for_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text(alpaca(9))
    result(tmp_path / "raw", tmp_path / "1", cache=tmp_path)
    monkeypatch.setattr("stages.ingest.reading.read_blocks", None)
    assert result(tmp_path / "raw", tmp_path / "2", cache=tmp_path)[0]["files_parsed"] == 0


def test_a_file_that_is_written_to_while_it_is_read_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(alpaca(9))
    files = list_source_files([path])
    path.write_text(alpaca(10))
    outputs = {name: tmp_path / name for name in ("conversations", "quarantined")}
    for output in outputs.values():
        output.mkdir()
    with pytest.raises(TryAgain, match="was written to while it was read"):
        run(files, **outputs, params=IngestParams(), workbench=lend(tmp_path / "scratch"))


def test_the_fault_of_a_file_is_told_beside_its_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(alpaca(2_000).encode())[:-9])
    made = ingest(tmp_path / "a.jsonl.gz", folder=tmp_path)
    assert made.faults[-1] == (None, "truncated", None)
    assert made.facts["records_read"] == 2_000
