"""CSV as spreadsheets and scripts write it -> rows, and one broken record for each row that cannot be read."""

import gzip
from pathlib import Path

import pytest

from record_files import faults, read, values
from shared_data import shared_data
from stages.raw_files.records import BrokenRecord, read_records
from stages.raw_files.source_files import SourceFile


@pytest.mark.parametrize(
    ("rows", "expected", "reasons"),
    [
        ('a,"b\nc",d\n', [["a", "b\nc", "d"]], []),
        ('a,5" screen,d\n', [["a", '5" screen', "d"]], []),
        ('a,"he said ""hi""",d\n', [["a", 'he said "hi"', "d"]], []),
        ('a,"he said "hi" there",d\nx,y,z\n', [["x", "y", "z"]], ["invalid_quoting"]),
        ('a,"never closed,d\nx,y,z\nu,v,w\n', [["x", "y", "z"], ["u", "v", "w"]], ["invalid_quoting"]),
        ('a,"never closed,d\nx,"y",z\nu,v,w\n', [["x", "y", "z"], ["u", "v", "w"]], ["invalid_quoting"]),
        ('"one\ntwo "x" y\nthree",b,c\nx,y,z\n', [["x", "y", "z"]], ["invalid_quoting"]),
        ("a,b\nx,y,z\n", [["x", "y", "z"]], ["wrong_field_count"]),
        ("a,b,c,d\nx,y,z,,\n", [["x", "y", "z"]], ["wrong_field_count"]),
        ("a,b\udcffc,d\nx,y,z\n", [["x", "y", "z"]], ["invalid_utf8"]),
        ('a,"b\n\udcffc",d\nx,y,z\n', [["x", "y", "z"]], ["invalid_utf8"]),
    ],
)
def test_csv_rows_with_quotes_of_all_kinds(
    rows: str, expected: list[list[str]], reasons: list[str], tmp_path: Path
) -> None:
    content = ("Prompt , B,answer\n\n" + rows).encode("utf-8", "surrogateescape")
    records = read(tmp_path, content, "data.csv")
    assert [list(dict(value).values()) for value in values(records) if isinstance(value, dict)] == expected
    assert all(list(value) == ["Prompt", "B", "answer"] for value in values(records) if isinstance(value, dict))
    assert [reason for _, reason in faults(records)] == reasons


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_with_another_delimiter(delimiter: str, tmp_path: Path) -> None:
    content = f"question{delimiter}answer\nwhy, oh why?{delimiter}because\n"
    assert values(read(tmp_path, content, "data.csv")) == [{"question": "why, oh why?", "answer": "because"}]


@pytest.mark.parametrize("content", [
    "sep=;\r\nquestion;answer\r\nwhy, oh why?;because\r\n",
    '\ufeff"sep=\t"\nquestion\tanswer\n"why, oh why?"\tbecause',
    "question, answer\n\"why, oh why?\", because\n",
    'question\tanswer\tnotes, if any, of yours\nwhy, oh why?\tbecause\t',
    "question,answer\nquestion,answer\n\"why, oh why?\",because\n",
])  # fmt: skip
def test_csv_as_spreadsheets_and_people_put_it_together(content: str, tmp_path: Path) -> None:
    for name in ("data.csv", "data"):
        found = read(tmp_path, content, name)
        rows = [list(value.values())[:2] for value in values(found) if isinstance(value, dict)]
        assert rows == [["why, oh why?", "because"]]
        assert [reason for _, reason in faults(found)] == ["repeated_header"] * (content.count("question") - 1)


@pytest.mark.parametrize("content", ["sep=;", "sep=;\n\n", "text\ntext\n"])
def test_a_file_without_rows_has_none_and_one_column_may_say_its_name(content: str, tmp_path: Path) -> None:
    assert values(read(tmp_path, content, "data.csv")) == [{"text": "text"}] * content.startswith("text")


def test_rows_with_spaces_before_them_are_told_from_prose_at_once(tmp_path: Path) -> None:
    """Behind an open quote, with a pattern that tries each way to part spaces, this would take years."""
    content = "a, b, c, d\n" + 'x,"never closed\n' + f"{' ' * 500}, {' ' * 500}, y\n" * 50
    assert faults(read(tmp_path, content, "data.csv")) == [(0, "invalid_quoting")]


def test_a_name_that_says_tabs_decides_where_the_header_holds_commas_too(tmp_path: Path) -> None:
    content = "question, if any\tanswer, if any\nwhy, oh why?\tbecause\n"
    row = {"question, if any": "why, oh why?", "answer, if any": "because"}
    assert values(read(tmp_path, content, "data.tsv")) == [row]
    assert values(read(tmp_path, "question,answer\nq,a\n", "misnamed.tsv")) == [{"question": "q", "answer": "a"}]


def test_a_broken_quote_in_a_real_file_of_long_rows_costs_a_few_rows_and_invents_none(tmp_path: Path) -> None:
    content = shared_data("csv/awesome_prompts.csv").read_bytes()
    whole = values(read(tmp_path, content, "data.csv"))
    for position in range(10_000, len(content), 50_000):
        at = content.index(b" ", position)
        made = read(tmp_path, content[:at] + b' "' + content[at:], "data.csv")
        invented = [value for value in values(made) if value not in whole]
        assert len(values(made)) + len(faults(made)) >= len(whole) - 5
        assert len(faults(made)) <= 1
        assert len(invented) <= 1


def test_an_archive_cut_inside_a_row_of_many_lines_is_one_fault_of_the_file(tmp_path: Path) -> None:
    content = b"question,answer\nq,a\n" + b'q,"' + b"many lines\n" * 100_000 + b'"\n'
    records = read(tmp_path, gzip.compress(content)[:-100])
    assert values(records) == [{"question": "q", "answer": "a"}]
    assert faults(records) == [(None, "truncated")]


def test_a_quote_that_stays_open_for_too_long_costs_one_row(tmp_path: Path) -> None:
    content = b'question,answer\nq,"never closed\n' + b"q,a\n" * 1_000
    records = read(tmp_path, content, max_record_bytes=1 << 10)
    assert (len(values(records)), faults(records)) == (1_000, [(0, "record_too_long")])


def test_a_quote_that_stays_open_before_rows_with_bare_quotes_costs_one_row(tmp_path: Path) -> None:
    records = read(tmp_path, 'question,answer\nq,"never closed\n' + 'q,a "b" c\n' * 50, "data.csv")
    assert faults(records) == [(0, "invalid_quoting")]
    assert values(records) == [{"question": "q", "answer": 'a "b" c'}] * 50


def test_a_column_that_is_named_twice_makes_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,question,answer,,\na,b,c,,\n")
    found = list(read_records(SourceFile("here", "a.csv", tmp_path / "a.csv", "")))
    assert [(record.index, record.reason) for record in found if isinstance(record, BrokenRecord)] == [
        (None, "invalid_header")
    ]
    assert len(found) == 1
