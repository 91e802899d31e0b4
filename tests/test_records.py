"""Files as people leave them lying around -> the records in them, and one broken record for each fault."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from record_files import faults, read, values
from shared_data import shared_data
from stages.raw_files.records import read_records
from stages.raw_files.source_files import SourceFile, list_source_files

ROWS: list[dict[str, Any]] = [
    {
        "instruction": f"Name a thing that is number {n}.",
        "input": "",
        "output": f'Thing {n}: “{"é" * n}”\nand a \\ "quote".',
    }
    for n in range(8)
]
NESTED = [
    {"id": n, "conversations": [{"from": "human", "value": f"q{n}"}, {"from": "gpt", "value": "{a}]"}]}
    for n in range(8)
]


def as_array(rows: list[dict[str, Any]], **style: Any) -> str:
    return json.dumps(rows, **style)


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


FORMS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "one line": as_array,
    "indented": lambda rows: as_array(rows, indent=4, ensure_ascii=False),
    "line each": lambda rows: "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n",
    "JSON lines": as_lines,
    "lines with blank ones": lambda rows: as_lines(rows).replace("\n", "\r\n\r\n"),
    "CR only": lambda rows: as_lines(rows).replace("\n", "\r"),
    "objects in one line": lambda rows: "".join(json.dumps(row) for row in rows),
    "two objects to a line": lambda rows: "".join(json.dumps(row) + " \n"[n % 2] for n, row in enumerate(rows)),
    "one object after the other": lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows),
    "CSV": as_csv,
    "with BOM": lambda rows: "\ufeff" + as_lines(rows),
}


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.csv", "data.txt", "data", "data.parquet"])
@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_told_from_the_content_and_not_from_the_name(form: str, name: str, tmp_path: Path) -> None:
    records = read(tmp_path, FORMS[form](ROWS), name)
    assert values(records) == ROWS
    assert [record.index for record in records] == list(range(8))


@pytest.mark.parametrize("form", FORMS)
def test_a_byte_offset_is_where_the_record_starts_in_the_decompressed_file(form: str, tmp_path: Path) -> None:
    content = FORMS[form](ROWS).encode()
    starts = [record.byte_offset for record in read(tmp_path, gzip.compress(content))]
    expected = b"Name a thing that is" if form == "CSV" else b"{"
    assert [content[start : start + len(expected)] for start in starts] == [expected] * 8
    assert starts == sorted(set(starts))


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.compress,
    "two gzip members": lambda content: gzip.compress(content[:100]) + gzip.compress(content[100:]),
    "two bzip2 streams": lambda content: bz2.compress(content[:100]) + bz2.compress(content[100:]),
    "two xz streams": lambda content: lzma.compress(content[:100]) + lzma.compress(content[100:]),
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "UTF-16, the other end first": lambda content: b"\xfe\xff" + content.decode().encode("utf-16-be"),
    "UTF-32 in xz": lambda content: lzma.compress(content.decode().encode("utf-32")),
    "zstd as pzstd writes it": lambda content: b"\x50\x2a\x4d\x18\x04\x00\x00\x00size" + zstandard.compress(content),
    "two zstd frames": lambda content: zstandard.compress(content[:100]) + zstandard.compress(content[100:]),
}


@pytest.mark.parametrize("name", ["data.json", "data.jsonl.gz"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressed_files_are_read_whatever_they_are_called(compression: str, name: str, tmp_path: Path) -> None:
    assert values(read(tmp_path, COMPRESSIONS[compression](as_lines(ROWS).encode()), name)) == ROWS


def test_real_files_hold_as_many_records_as_their_makers_say() -> None:
    counts = {"alpaca/alpaca_data.json.gz": 52_002, "dolly/dolly_3k.jsonl": 2_996, "csv/awesome_prompts.csv": 847,
              "oasst/en_100_tree.jsonl": 100, "sharegpt/glaive_toolcall_en_demo.json": 300, "prose/c4_demo.jsonl": 300}  # fmt: skip
    for name, expected in counts.items():
        [file] = list_source_files([shared_data(name)])
        records = list(read_records(file))
        assert (len(values(records)), faults(records)) == (expected, []), name


def test_text_becomes_documents_of_whole_paragraphs(tmp_path: Path) -> None:
    text = "one\r\ntwo\r\n\r\nthree\r\n \r\n\r\nfour\nfive"
    assert values(read(tmp_path, text, "a.txt", text_chars=14)) == ["one\ntwo\n\nthree", "four\nfive"]
    assert [record.byte_offset for record in read(tmp_path, text, "a.txt", text_chars=14)] == [0, 24]
    assert values(read(tmp_path, text, "a.txt", text_chars=8)) == ["one\ntwo", "three", "four", "five"]
    assert values(read(tmp_path, text, "a.txt", text_chars=1000)) == ["one\ntwo\n\nthree\n\nfour\nfive"]


def test_all_text_of_a_real_book_is_in_its_documents(tmp_path: Path) -> None:
    [file] = list_source_files([shared_data("prose/sherlock_holmes.txt")])
    documents = [str(value) for value in values(list(read_records(file, text_chars=1_500)))]
    assert " ".join(documents).split() == file.path.read_text(encoding="utf-8").split()
    assert max(map(len, documents)) <= 1_500


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'{"instruction": "a", "output": }', "invalid_json"),
        (b'{"instruction": "a", "output": "b"', "invalid_json"),
        (b'{"instruction": "a\x00", "output": "b"}', "invalid_json"),
        (b'{"instruction": "a\xff", "output": "b"}', "invalid_utf8"),
        (b'{"instruction": "a", "instruction": "b"}', "duplicate_key"),
        (b'{"instruction": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested_too_deep"),
        (b'{"instruction": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b'"only a string"', "not_an_object"),
    ],
)
@pytest.mark.parametrize("form", ["lines", "compact array", "array of lines", "objects one after the other"])
def test_a_broken_record_costs_itself_alone(form: str, broken: bytes, reason: str, tmp_path: Path) -> None:
    if form == "objects one after the other":
        between, whole = b"\n", [json.dumps(row, indent=1).encode() for row in ROWS]
    else:
        between = {"lines": b"\n", "compact array": b", ", "array of lines": b",\n"}[form]
        whole = [json.dumps(row).encode() for row in ROWS]
    content = between.join([*whole[:3], broken, *whole[3:]])
    records = read(tmp_path, b"[" + content + b"]" if "array" in form else content)
    assert values(records) == ROWS
    assert faults(records) == [(3, reason)]
    assert content[records[3].byte_offset - ("array" in form) :].startswith(broken)


@settings(deadline=None)
@given(data=st.data())
def test_an_element_cut_anywhere_costs_itself_alone(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = data.draw(st.sampled_from([ROWS, NESTED]))
    indent = data.draw(st.sampled_from([None, 2]))
    elements = [json.dumps(row, indent=indent) for row in rows]
    victim = data.draw(st.integers(0, len(rows) - 1))
    cut = data.draw(st.integers(1, len(elements[victim]) - 1))
    elements[victim] = elements[victim][:cut].rstrip()
    records = read(tmp_path_factory.mktemp("cut"), "[" + ", ".join(elements) + "]")
    whole = rows[:victim] + rows[victim + 1 :]
    assert [value for value in values(records) if value in rows] == whole
    assert len(records) >= len(rows)


@settings(deadline=None)
@given(data=st.data())
def test_a_flipped_byte_costs_one_line(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(as_lines(ROWS).encode())
    position = data.draw(st.integers(0, len(content) - 1).filter(lambda at: content[at] != ord("\n")))
    content[position] = 0xFF
    hit = bytes(content[:position]).count(b"\n")
    records = read(tmp_path_factory.mktemp("flip"), bytes(content), "data.jsonl")
    assert values(records) == ROWS[:hit] + ROWS[hit + 1 :]
    assert faults(records) == [(hit, "invalid_utf8")]


def small_blocks(content: bytes) -> bytes:
    return bz2.compress(content, 1)


@pytest.mark.parametrize("compress", [gzip.compress, small_blocks, zstandard.compress])
@pytest.mark.parametrize("form", [as_lines, as_array, as_csv])
def test_a_truncated_archive_gives_its_leading_records_and_one_fault_of_the_file(
    compress: Callable[[bytes], bytes], form: Callable[[list[dict[str, Any]]], str], tmp_path: Path
) -> None:
    numbers = random.Random(0)
    rows = [{"prompt": str(numbers.random()), "response": str(numbers.random())} for _ in range(20_000)]
    packed = compress(form(rows).encode())
    records = read(tmp_path, packed[: len(packed) * 2 // 3])
    assert values(records) == rows[: len(records) - 1]
    assert len(records) > 5_000
    assert faults(records) == [(None, "truncated")]


def test_a_wrong_checksum_keeps_the_records_and_is_told(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(as_lines(ROWS).encode()))
    packed[-5] ^= 0xFF
    records = read(tmp_path, bytes(packed))
    assert values(records) == ROWS
    assert faults(records) == [(None, "corrupt_compression")]


def test_what_follows_a_bzip2_stream_and_is_none_is_told(tmp_path: Path) -> None:
    records = read(tmp_path, bz2.compress(as_lines(ROWS).encode()) + b"BZ damaged")
    assert values(records) == ROWS
    assert faults(records) == [(None, "corrupt_compression")]


def test_a_line_with_something_behind_its_value_was_not_cut(tmp_path: Path) -> None:
    assert faults(read(tmp_path, as_lines(ROWS) + '{"a": 1} x')) == [(len(ROWS), "invalid_json")]


def test_a_truncated_array_or_line_is_one_broken_record(tmp_path: Path) -> None:
    for content in (as_array(ROWS), as_array(ROWS, indent=1), as_lines(ROWS)):
        records = read(tmp_path, content[: content.rindex("Thing 5") + 3])
        assert values(records) == ROWS[:5]
        assert faults(records) == [(5, "truncated")]


def test_an_array_that_stops_between_elements_or_goes_on_after_its_end_is_a_fault_of_the_file(tmp_path: Path) -> None:
    content = as_array(ROWS)
    assert faults(read(tmp_path, content[:-1])) == [(None, "truncated")]
    assert faults(read(tmp_path, content + "x")) == [(None, "trailing_data")]
    assert values(read(tmp_path, content + "x")) == ROWS


@pytest.mark.parametrize("form", ["lines", "array", "CSV", "text"])
def test_a_record_that_is_too_long_is_refused_and_the_next_one_read(form: str, tmp_path: Path) -> None:
    long = [{"instruction": "a", "output": "x" * 5_000_000}]
    rows = [*ROWS[:2], *long, *ROWS[2:]]
    content = {"lines": as_lines(rows), "array": as_array(rows), "CSV": as_csv([{"input": "", **row} for row in rows]),
               "text": "one\n" + "x" * 5_000_000 + "\ntwo"}[form]  # fmt: skip
    records = read(tmp_path, content, "data.txt", max_record_bytes=1 << 20)
    reason = "record_too_long" if form == "array" else "line_too_long"
    assert faults(records) == [(1 if form == "text" else 2, reason)]
    assert values(records) == (["one", "two"] if form == "text" else ROWS)


def test_a_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    packed = zstandard.compress(bytes(1 << 28))
    tracemalloc.start()
    try:
        records = read(tmp_path, zstandard.compress(b"{}\n") + packed, "data.jsonl.zst")
        assert faults(records) == [(1, "line_too_long")]
        assert tracemalloc.get_traced_memory()[1] < 1 << 28
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jsonl", b"", "empty_file"),
        ("blank.txt", b"\n \n", "empty_file"),
        ("none.json", b"[]", "empty_file"),
        ("header.csv", b"question,answer\n", "empty_file"),
        ("page.jinja", b"{% for m in messages %}{{ m }}{% endfor %}", "unsupported_format"),
        ("prose.json", b"Dear reader,\nthis is no JSON.", "unsupported_format"),
        ("picture.png", bytes(range(256)) * 10, "unsupported_format"),
        ("wide.txt", "text".encode("utf-16")[:-1], "unsupported_encoding"),
        ("data.parquet", b"PAR1 and no more", "invalid_parquet"),
        ("data.parquet.gz", gzip.compress(b"PAR1 and more", mtime=0), "unsupported_format"),
        ("data.json.gz", b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 20, "corrupt_compression"),
    ],
)
def test_a_file_without_records_is_one_fault_of_the_file(
    name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    assert faults(read(tmp_path, content, name)) == [(None, reason)]


def test_links_pipes_and_files_that_vanished_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"text": "outside"}')
    inside = tmp_path / "source"
    inside.mkdir()
    (inside / "link.jsonl").symlink_to(tmp_path / "secret")
    os.mkfifo(inside / "pipe.jsonl")
    found = {file.name: faults(list(read_records(file))) for file in list_source_files([inside])}
    assert found == {"link.jsonl": [(None, "symbolic_link")], "pipe.jsonl": [(None, "not_a_regular_file")]}
    gone = SourceFile("here", "gone.jsonl", inside / "gone.jsonl", "0" * 64)
    assert faults(list(read_records(gone))) == [(None, "unreadable")]


def test_lines_that_are_lists_of_messages_are_records(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert values(read(tmp_path, f"{json.dumps(messages)}\n" * 2, "data.jsonl")) == [messages, messages]
