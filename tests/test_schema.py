import json
import re
from pathlib import Path

import jsonschema
import polars as pl
import pytest
import yaml

from rows import conversation, table
from stages.errors import DataError
from stages.schema import FOLDER, check_table, conform, load_schema, parse_type, schema_names

TABLES = [name for name in schema_names() if load_schema(name).kind == "table"]


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_file_keeps_to_the_metaschema(name: str) -> None:
    metaschema = json.loads((FOLDER / "metaschema.json").read_text())
    jsonschema.validate(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), metaschema)


@pytest.mark.parametrize("name", schema_names())
def test_every_column_is_described_once_in_the_catalogue(name: str) -> None:
    stated = yaml.safe_load((FOLDER / f"{name}.yaml").read_text()).get("columns") or {}
    undescribed = [
        column.name for column in load_schema(name).columns if not column.description and column.name in stated
    ]
    described_elsewhere = {c for other in schema_names() if other != name
                           for c, facts in (yaml.safe_load((FOLDER / f"{other}.yaml").read_text()).get("columns") or {}).items()
                           if "description" in facts}  # fmt: skip
    assert set(undescribed) <= described_elsewhere, f"{name}: no description anywhere of {undescribed}"


def example_rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", TABLES)
def test_the_passing_examples_pass(name: str) -> None:
    files = sorted((FOLDER / "examples" / name).glob("pass_*.jsonl"))
    assert files, f"schemas/examples/{name} holds no pass_*.jsonl"
    for file in files:
        check_table(table(name, example_rows(file)), load_schema(name), name)


def stated_checks() -> list[tuple[str, str]]:
    return [(name, check) for name in TABLES
            for check in (yaml.safe_load((FOLDER / f"{name}.yaml").read_text()).get("checks") or {})]  # fmt: skip


@pytest.mark.parametrize(("name", "check"), stated_checks())
def test_every_check_has_an_example_that_trips_it_and_no_other(name: str, check: str) -> None:
    rows = example_rows(FOLDER / "examples" / name / f"fail_{check}.jsonl")
    with pytest.raises(DataError) as caught:
        check_table(table(name, rows), load_schema(name), name)
    assert re.findall(r"check (\w+) fails", str(caught.value)) == [check]


def test_a_message_names_the_check_how_often_it_fails_the_first_rows_and_why() -> None:
    rows = [conversation("good", "hi", "hello"), conversation("bad", "hi", "hello", record=-1)]
    bad = rows[1]["row_id"]
    expected = f"check record_from_zero fails for 1 of 2 rows (first: {bad}): records are counted from 0"
    with pytest.raises(DataError, match=re.escape(expected)):
        check_table(table("conversations", rows), load_schema("conversations"), "here")


def test_columns_that_may_be_missing_are_filled_and_the_others_are_asked_for() -> None:
    filled = table("conversations", [conversation("a", "hi", "hello")])
    assert filled.select("source", "record", "tools").rows() == [("test", 0, None)]
    with pytest.raises(DataError, match="lacks messages and has unknown columns text; its columns are row_id"):
        conform(pl.LazyFrame({"row_id": ["a"], "text": ["x"]}), load_schema("conversations"), "file.jsonl")


def test_a_type_is_read_as_it_is_written() -> None:
    text = "list<struct<role: string, ids: list<int32>>>"
    assert parse_type(text) == pl.List(pl.Struct({"role": pl.String, "ids": pl.List(pl.Int32)}))


def test_a_sliced_table_is_checked_on_its_own_rows() -> None:
    rows = [conversation(f"r{i}", "hi", "hello") for i in range(5)]
    rows[0]["messages"] = rows[0]["messages"][:1]
    whole = table("conversations", rows)
    check_table(whole.slice(1, 4), load_schema("conversations"), "slice")
    with pytest.raises(DataError, match="ends_with_answer fails for 1 of 2"):
        check_table(whole.slice(0, 2), load_schema("conversations"), "slice")
