"""Runs ingest in a test: files in, both tables and the facts out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from stages.ingest.job import run
from stages.ingest.stage import IngestParams
from stages.raw_files.source_files import list_source_files
from stages.schema import check_table, load_schema
from stages.store.piles import take
from workbench import lend

Turns = list[tuple[str, str]]


class Result(NamedTuple):
    conversations: pl.DataFrame
    quarantined: pl.DataFrame
    facts: dict[str, Any]

    @property
    def turns(self) -> list[Turns]:
        """Role and content of every conversation, in the order of the records."""
        return [[(turn["role"], turn["content"]) for turn in row] for row in self.conversations["messages"]]

    @property
    def faults(self) -> list[tuple[int | None, str, str | None]]:
        return self.quarantined.select("record", "reason", "field").rows()


def ingest(*paths: Path, folder: Path, **params: Any) -> Result:
    """Runs the job on files and checks both outputs against their schemas."""
    outputs = {name: folder / "out" / name for name in ("conversations", "quarantined")}
    for output in outputs.values():
        output.mkdir(parents=True)
    bench = lend(folder / "scratch")
    facts = run(list_source_files(paths), **outputs, params=IngestParams(**params), workbench=bench)
    tables = {}
    for name, output in outputs.items():
        table = rows_left(output)
        tables[name] = table.sort("source", "file", "record", maintain_order=True, nulls_last=True)
        check_table(tables[name].sort(load_schema(name).key), load_schema(name), name)
        assert not tables[name].select(pl.struct(load_schema(name).key).is_duplicated().any()).item()
    return Result(**tables, facts=facts)


def rows_left(output: Path) -> pl.DataFrame:
    """What the job left for one output, in piles or in Parquet files."""
    tables = [*take(output), *(pl.read_parquet(file) for file in sorted(output.glob("*.parquet")))]
    return pl.concat([load_schema(output.name).empty(), *tables])


def ingest_text(content: str, folder: Path, name: str = "data.jsonl", **params: Any) -> Result:
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return ingest(folder / name, folder=folder, **params)


def ingest_records(records: Sequence[object], folder: Path, **params: Any) -> Result:
    """`records`, behind one sound record that keeps the source from being of no use at all."""
    sound = {"instruction": "Say a.", "output": "a"}
    made = ingest_text("".join(json.dumps(record) + "\n" for record in [sound, *records]), folder, **params)
    assert made.turns[0] == [("user", "Say a."), ("assistant", "a")]
    return made._replace(conversations=made.conversations.slice(1))


EXCHANGE: Turns = [("user", "Why?"), ("assistant", "Because.")]


def chat(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}
