"""Builds finished curation runs in a store, table by table, without running a stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rows import conversation, sealed
from stages.pipeline import CURATION
from stages.schema import load_schema
from stages.store.storage import write_json

Rows = Sequence[dict[str, Any]]
EMPTY: dict[str, Any] = {"Int64": 0, "Int32": 1, "Float64": 0.0, "Boolean": False, "String": ""}


def filled(dataset: str, rows: Rows) -> list[dict[str, Any]]:
    """`rows` with something of the right type in each column that must be there."""
    needed = [column for column in load_schema(dataset).columns if not column.may_be_missing]
    filler = {c.name: c.values[0] if c.values else EMPTY.get(str(c.dtype)) for c in needed}
    known = load_schema(dataset).dtypes
    return [filler | {name: value for name, value in row.items() if name in known} for row in rows]


def finished_run(store: Path, name: str, tables: dict[str, Rows]) -> Path:
    """A run of `curate` that made `tables`; each stage's result has a receipt that names what it read."""
    run = store / "runs" / name
    run.mkdir(parents=True)
    write_json(run / "run.json", {"pipeline": "curate", "profile": "default", "params": {}, "sources": {}})
    made: dict[str, Path] = {}
    for stage in CURATION:
        outputs = [output for output in stage.outputs if output in tables]
        if not outputs:
            continue
        result = store / "results" / stage.name / name
        folders = {output: sealed(result / output, output, filled(output, tables[output])) for output in outputs}
        # A stage that was left out is bridged: the receipt names what was made last.
        latest = list(made.values())[-1:]
        read = {i: {"paths": [str(made.get(i, *latest))]} for i in stage.inputs if i in made or latest}
        write_json(
            result / "receipt.json",
            {"stage": stage.name, "outputs": {output: {} for output in outputs}, "inputs": read},
        )
        note = {"result": str(result.relative_to(store)), "outputs": dict.fromkeys(outputs, ""), "hit": False}
        write_json(run / f"{stage.name}.json", note)
        made |= folders
    return run


def record(number: int, answer: str = "", file: str = "a.jsonl", **columns: Any) -> dict[str, Any]:
    """The row of one record; another answer makes another row, as ingest would."""
    text = answer or f"Answer number {number}, which is long enough."
    row = conversation(f"{file} {number} {text}", f"Question number {number}?", text, source="towns", file=file)
    return row | {"record": number, **columns}
