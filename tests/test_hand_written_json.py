"""Files as people and their tools write them -> the records that an array of them gives, or a fault that says why not."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_run import ingest_text
from record_files import faults, read, source_file, values
from stages.errors import DataError
from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_blocks import Block
from stages.raw_files.json_members import keyed_values
from stages.raw_files.json_repairs import mended
from stages.raw_files.records import read_blocks
from stages.raw_files.repair_names import COMMAS_REMOVED, COMMENTS_REMOVED

ROWS: list[dict[str, Any]] = [{"instruction": f"Say {n}, ]", "output": f'"{n}",}}'} for n in range(4)]
CHATS = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}] for n in range(3)]
BY_ID = {f"id {n}": row for n, row in enumerate(ROWS)}
SCHEMA = {"fields": [{"name": "instruction", "type": "string"}], "primaryKey": ["index"], "pandas_version": "1.4.0"}


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (json.dumps(BY_ID), ROWS),
        (json.dumps(BY_ID, indent=2), ROWS),
        (json.dumps({"only": ROWS[0]}), ROWS[:1]),
        (json.dumps({f"c{n}": chat for n, chat in enumerate(CHATS)}), CHATS),
        (json.dumps({f"c{n}": {"messages": chat} for n, chat in enumerate(CHATS)}), [{"messages": c} for c in CHATS]),
        (json.dumps({"schema": SCHEMA, "data": ROWS}), ROWS),  # pandas, orient="table"
        ("".join(json.dumps(row) + ",\n" for row in ROWS), ROWS),
        (",\r\n".join(map(json.dumps, ROWS)), ROWS),
        ("\n\ufeff".join(map(json.dumps, ROWS)), ROWS),  # files put one behind the other
        ("".join(f"data: {json.dumps(row)}\n\n" for row in ROWS) + "data: [DONE]\n\n", ROWS),
        ("".join(f": hi\nevent: row\nid: 1\ndata:{json.dumps(row)}\r\n\r\n" for row in ROWS), ROWS),
    ],
)
def test_records_are_read_as_they_stand(content: str, records: list[object], tmp_path: Path) -> None:
    for name in ("data.json", "data.jsonl", "data"):
        found = read(tmp_path, content, name)
        assert (values(found), faults(found)) == (records, [])
    offsets = [record.byte_offset for record in found]
    between = [content.encode()[start:end] for start, end in zip(offsets, [*offsets[1:], None], strict=True)]
    assert all(part.count(b"a") >= 1 and part.lstrip(b"\xef\xbb\xbf")[:1] in b"{[d" for part in between)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"metadata": {"input": 3, "output": 5}, "prompt": "q", "response": "a"}),
        json.dumps({"prompt": {"question": "q", "context": "c"}, "response": "a"}),
        json.dumps({"example": {"prompt": "q", "response": "a"}, "score": 3}),
        json.dumps({"id1": {"a": "b"}, "id2": {"a": "c"}}),
        json.dumps({"instruction": {"0": "q"}, "output": {"0": "a"}}),  # pandas, orient="columns": one value
        "".join(json.dumps({f"id {n}": row}) + "\n" for n, row in enumerate(ROWS)),
    ],
)
def test_an_object_that_is_one_record_stays_one(content: str, tmp_path: Path) -> None:
    whole = [json.loads(line) for line in content.splitlines()]
    assert values(read(tmp_path, content)) == whole


def test_a_broken_field_of_an_object_by_ids_costs_itself_alone(tmp_path: Path) -> None:
    fields = [f'"{name}": {json.dumps(row)}' for name, row in BY_ID.items()]
    broken = fields[1].replace('"Say', "Say")
    content = "{" + ", ".join([fields[0], broken, *fields[2:], '"count": 4', '"long": "' + "x" * 3000 + '"']) + "}"
    found = read(tmp_path, content)
    assert values(found) == [ROWS[0], *ROWS[2:], 4]
    assert faults(found) == [(1, "invalid_json"), (5, "not_an_object")]
    cut = read(tmp_path, content[:-3010])
    assert values(cut) == [ROWS[0], *ROWS[2:], 4]
    assert faults(cut)[-1] == (None, "truncated")
    assert faults(read(tmp_path, json.dumps(BY_ID) + " x"))[-1] == (None, "trailing_data")


def test_a_long_object_by_ids_is_read_in_little_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"{"
        for number in range(120):
            rows = (f'"{number}-{row}": {{"prompt": "{"q" * 900}", "response": "a"}},' for row in range(100))
            yield "".join(rows).encode()
        yield b'"last": {"prompt": "q", "response": "a"}}'

    tracemalloc.start()
    try:
        assert sum(1 for _ in keyed_values(chunks(), 1 << 20)) == 12_001  # 11 MB
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["lines", "array", "by_id", "values"])
def test_commas_behind_last_elements_are_removed_under_a_name(form: str, tmp_path: Path) -> None:
    chat = '{"messages": [{"role": "user", "content": "q,]"}, {"role": "assistant", "content": "a,}",},],}'
    sound = json.dumps({"prompt": "q", "response": "a"})
    content = {
        "lines": f"{sound}\n{chat}\n{sound}\n",
        "array": f"[{sound}, {chat}, {sound},]",
        "by_id": f'{{"a": {sound}, "b": {chat}, "c": {sound},}}',
        "values": f"{sound} {chat} {sound}",
    }[form]
    made = ingest_text(content, tmp_path, "mended.json")
    assert made.conversations["repairs"].to_list() == [None, ["trailing_commas_removed"], None]
    assert made.turns[1] == [("user", "q,]"), ("assistant", "a,}")]
    (tmp_path / "left").mkdir()
    left = ingest_text(f"{sound}\n{chat}\n", tmp_path / "left", repairs=[])
    assert [(reason, record) for record, reason, _ in left.faults] == [("invalid_json", 1)]


def test_a_thread_says_that_one_of_its_messages_was_mended(tmp_path: Path) -> None:
    message = {"message_id": "1", "parent_id": None, "role": "prompter", "text": "q"}
    answers = [
        '"parent_id": "1", "role": "assistant", "text": "a",}',
        '"parent_id": "1", "role": "assistant", "text": "b"}',
    ]
    lines = [json.dumps(message), *(f'{{"message_id": "{n}", {rest}' for n, rest in enumerate(answers, 2))]
    made = ingest_text("\n".join(lines), tmp_path)
    assert sorted(zip((turns[-1] for turns in made.turns), made.conversations["repairs"].to_list(), strict=True)) == [
        (("assistant", "a"), ["trailing_commas_removed"]),
        (("assistant", "b"), None),
    ]


COMMENTED = {
    "array.json": """// of "mine" [
[ /* two */
  {"prompt": "http://a//b", /* "response": "no", */ "response": "/* c */"}, // it's {
  // {"prompt": "old", "response": "out"},
  {"prompt": "q", "response": "a"}, {"prompt": "r", "response": "b"} // ]
] // end
""",
    "lines.jsonl": """// of "mine" {
/* and more */
{"prompt": "http://a//b", "response": "/* c */"} // it's {
// {"prompt": "old", "response": "out"}
{"prompt": "q", "response": "a"}
{"prompt": "r", "response": "b"}
""",
    "values.json": """{ // first
  "prompt": "http://a//b", "response": "/* c */"
}
/* {"prompt": "old",
    "response": "out"} */
{"prompt": "q", "response": "a"}
{"prompt": "r", "response": "b"}
""",
}


@pytest.mark.parametrize("name", COMMENTED)
def test_comments_are_removed_under_a_name_wherever_they_stand_but_in_texts(name: str, tmp_path: Path) -> None:
    made = ingest_text(COMMENTED[name], tmp_path, name)
    pairs = [("http://a//b", "/* c */"), ("q", "a"), ("r", "b")]
    assert made.turns == [[("user", prompt), ("assistant", response)] for prompt, response in pairs]
    assert made.conversations["repairs"].to_list() == [["comments_removed"], ["comments_removed"], None]
    assert made.faults == []
    (tmp_path / "left").mkdir()
    left = ingest_text(COMMENTED[name], tmp_path / "left", name, repairs=[])
    assert [(reason, record) for record, reason, _ in left.faults] == [("invalid_json", 0), ("invalid_json", 1)]


@pytest.mark.parametrize("block_bytes", [60, 75, 110, 150])
def test_a_comment_stays_with_its_record_wherever_blocks_end(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.raw_files.json_blocks.BLOCK_BYTES", block_bytes)
    monkeypatch.setattr("stages.raw_files.byte_stream.CHUNK_BYTES", block_bytes)
    content = COMMENTED["lines.jsonl"] + "\n// one\n\n/* two */\n"
    file = source_file(tmp_path, content.encode(), "data.jsonl")
    found = [
        (offset, value)
        for unit in read_blocks(file, max_record_bytes=1 << 20, text_chars=100)
        for offset, value in (
            ((at, unit.value(line)) for at, line in unit.elements()) if isinstance(unit, Block) else unit
        )
    ]
    told = read(tmp_path, content, "data.jsonl")
    assert [offset for offset, _ in found] == [record.byte_offset for record in told]
    assert [value for _, value in found if not isinstance(value, Damage)] == values(told)
    assert faults(told) == [(3, "comment")]


def test_a_comment_that_no_record_follows_costs_no_record(tmp_path: Path) -> None:
    made = ingest_text(json.dumps(ROWS[0]) + "\n// end\n", tmp_path)
    assert (len(made.turns), made.faults) == (1, [(1, "comment", None)])
    open_comment = "/* never closed\n" + "".join(json.dumps(row) + "\n" for row in ROWS)
    assert len(values(read(tmp_path, open_comment))) == len(ROWS)


def test_a_record_with_two_faults_is_told_by_the_one_that_cannot_be_mended(tmp_path: Path) -> None:
    doubled = '{"prompt": "q", "prompt": "r", "response": "a"'
    content = f"{doubled},}}\n// c\n{doubled}}}\n{doubled}}} // c\n"
    assert [reason for _, reason in faults(read(tmp_path, content))] == ["duplicate_key"] * 3
    assert [reason for _, reason in faults(read(tmp_path, f"[{doubled},}}, {doubled}}}]"))] == ["duplicate_key"] * 2


def test_python_s_notation_is_read_under_a_name_and_nothing_else_of_python(tmp_path: Path) -> None:
    record = {"prompt": "it's", "response": 'a "b"', "n": None, "ok": True, "tags": ("x",)}
    odd = [
        "{'prompt': 'q', 'prompt': 'r', 'response': 'a'}",
        "{'prompt': f'{1}', 'response': 'a'}",
        "{'prompt': b'q', 'response': 'a'}",
    ]
    made = ingest_text("\n".join([repr(record), *odd]) + "\n", tmp_path)
    assert made.turns == [[("user", "it's"), ("assistant", 'a "b"')]]
    assert made.conversations["repairs"].to_list() == [["python_literal_read"]]
    assert [reason for _, reason, _ in made.faults] == ["invalid_json"] * 3


def test_a_record_that_was_encoded_twice_is_read(tmp_path: Path) -> None:
    assert values(read(tmp_path, "".join(json.dumps(json.dumps(row)) + "\n" for row in ROWS))) == ROWS


@pytest.mark.parametrize("content", [
    ":a " * 1000,
    '{"prompt": "q"' + "/*" * 50_000,
    '{"prompt": "q"' + "/* * /" * 20_000 + "//" * 20_000,
    "/" * 100_000,
    "/* *" * 25_000,
    '{"prompt": "' + '\\"' * 100_000,
    json.dumps({"a": {"prompt": "q", "response": "a"}})[:-1] + " " * 100_000 + "x",
    '{"prompt": "q"' + ", " * 100_000 + "}",
], ids=["like an event", "open comments", "comments alone", "slashes", "an open comment", "a text never closed", "a long gap", "commas alone"])  # fmt: skip
def test_what_only_looks_mendable_is_told_at_once(content: str, tmp_path: Path) -> None:
    """With patterns that try each way to part a text these would take days, or hours."""
    with pytest.raises(DataError, match="not one conversation in"):
        ingest_text(content, tmp_path, "odd.json")


def test_a_piece_of_a_streamed_answer_is_no_record(tmp_path: Path) -> None:
    piece = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "He"}}]}
    made = ingest_text(
        f"data: {json.dumps(ROWS[0])}\n\ndata: {json.dumps(piece)}\n\ndata: [DONE]\n", tmp_path, "log.sse"
    )
    assert (len(made.turns), made.faults) == (1, [(1, "answer_fragment", "object")])


texts = st.text(st.sampled_from('ab,]}{["\\ \n:'), max_size=8)
json_values = st.recursive(
    texts | st.integers(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3),
    max_leaves=9,
)


@given(st.dictionaries(texts, json_values, min_size=1, max_size=3), st.data())
def test_only_commas_and_comments_that_are_in_no_text_are_taken_away(
    record: dict[str, Any], data: st.DataObject
) -> None:
    encoder = json.JSONEncoder(indent=data.draw(st.sampled_from([None, 1])))
    tokens = list(encoder.iterencode(record))
    closing = [n for n, token in enumerate(tokens) if n and token.lstrip() in ("}", "]") and not tokens[n - 1].strip().endswith(("[", "{"))]  # fmt: skip
    commas = set(closing if data.draw(st.booleans()) else [])
    comments = data.draw(st.dictionaries(st.sampled_from(range(len(tokens))), st.sampled_from(["/* \", ] */", "// it's {\n", "/**/"])))  # fmt: skip
    text = "".join(comments.get(n, "") + "," * (n in commas) + token for n, token in enumerate(tokens))
    expected = (COMMENTS_REMOVED,) * bool(comments) + (COMMAS_REMOVED,) * bool(commas)
    if expected:
        made = mended(text, json.loads, "fault")
        assert made == record
        assert made.repairs == expected


@given(st.lists(st.fixed_dictionaries({"prompt": texts, "response": texts}), min_size=1, max_size=5), st.data())
def test_an_object_by_ids_is_read_as_an_array_is(records: list[dict[str, Any]], data: st.DataObject) -> None:
    content = json.dumps(
        {f'{n}"\\{{': record for n, record in enumerate(records)}, ensure_ascii=data.draw(st.booleans())
    )
    size = data.draw(st.integers(1, 40))
    chunks = (content.encode()[start : start + size] for start in range(0, len(content.encode()), size))
    assert [value for _, value in keyed_values(chunks, 1 << 20)] == records
