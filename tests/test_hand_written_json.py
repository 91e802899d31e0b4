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
from record_files import faults, read, values
from stages.errors import DataError
from stages.raw_files.json_members import keyed_values
from stages.raw_files.json_repairs import mended

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


@pytest.mark.parametrize("content", [
    ":a " * 1000,
    '{"prompt": "' + '\\"' * 100_000,
    json.dumps({"a": {"prompt": "q", "response": "a"}})[:-1] + " " * 100_000 + "x",
    '{"prompt": "q"' + ", " * 100_000 + "}",
], ids=["like an event", "a text never closed", "a long gap", "commas alone"])  # fmt: skip
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
def test_only_commas_that_are_in_no_text_are_taken_away(record: dict[str, Any], data: st.DataObject) -> None:
    encoder = json.JSONEncoder(indent=data.draw(st.sampled_from([None, 1])))
    tokens = list(encoder.iterencode(record))
    with_commas = "".join(
        "," * (token.lstrip() in ("}", "]") and place > 0 and not tokens[place - 1].strip().endswith(("[", "{")))
        + token
        for place, token in enumerate(tokens)
    )
    if with_commas != "".join(tokens):
        assert mended(with_commas, json.loads, "fault") == record
    assert mended("".join(tokens), json.loads, "fault") is None


@given(st.lists(st.fixed_dictionaries({"prompt": texts, "response": texts}), min_size=1, max_size=5), st.data())
def test_an_object_by_ids_is_read_as_an_array_is(records: list[dict[str, Any]], data: st.DataObject) -> None:
    content = json.dumps(
        {f'{n}"\\{{': record for n, record in enumerate(records)}, ensure_ascii=data.draw(st.booleans())
    )
    size = data.draw(st.integers(1, 40))
    chunks = (content.encode()[start : start + size] for start in range(0, len(content.encode()), size))
    assert [value for _, value in keyed_values(chunks, 1 << 20)] == records
