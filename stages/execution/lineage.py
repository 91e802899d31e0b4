"""Answers from receipts: does a run balance, why did a stage run, where did a row come from and which models saw it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from stages.contract import Stage
from stages.errors import UsageError
from stages.execution.receipt import most_frequent_first
from stages.execution.run_plan import PLAN
from stages.execution.runs import Run, finished
from stages.schema import load_schema
from stages.store.identity import differences
from stages.store.storage import RECEIPT, LocalStore, read_json
from stages.store.tables import read_table
from stages.texts.private_data import mask_all

RUNS_NAMED = 3


class LedgerLine(NamedTuple):
    """What one stage of a run did with its rows."""

    stage: str
    rows_in: int | None
    rows_out: dict[str, int | None]
    reasons: dict[str, dict[str, int]]
    balances: bool | None  # None: the stage decides nothing
    hit: bool


def ledger(run: Run) -> list[LedgerLine]:
    """The rows of a run, stage by stage, from the receipts of the stages that are done."""
    lines = []
    for stage in run.pipeline.stages:
        if (done := finished(run, stage)) and done["result"]:
            receipt = read_json(run.store.root / done["result"] / RECEIPT)
            lines.append(_ledger_line(stage, receipt, hit=done["hit"]))
    return lines


def _ledger_line(stage: Stage, receipt: Mapping[str, Any], *, hit: bool) -> LedgerLine:
    rows_in = receipt["inputs"].get(stage.decided or "", {}).get("rows")
    made = receipt["outputs"]
    rows_out = {name: made[name]["rows"] for name in stage.outputs if name in made and made[name]["rows"] is not None}
    balances = receipt["facts"].get("balances")
    if stage.sets_aside and stage.keeps:
        aside = rows_out[stage.sets_aside] or 0
        # Unrolled conversations make several examples of one row; conservation counted rows when the result was made.
        balances = rows_in == (rows_out[stage.keeps] or 0) + aside or load_schema(stage.keeps).key != ("row_id",)
    return LedgerLine(stage.name, rows_in, rows_out, receipt["reasons"], balances, hit)


def ledger_text(run: Run) -> str:
    """The ledger for people."""
    lines = [f"run {run.name}: pipeline {run.pipeline.name}, profile {run.profile}", ""]
    if not (done := ledger(run)):
        lines.append(
            f"no stage is done yet; next: python -m stages run {run.pipeline.stages[0].name} --run {run.folder}"
        )
    for line in done:
        mark = {True: "balances", False: "DOES NOT BALANCE", None: ""}[line.balances]
        made = ", ".join(f"{name} {rows:,}" for name, rows in line.rows_out.items() if rows is not None)
        came = "" if line.rows_in is None else f"{line.rows_in:,} rows -> "
        lines.append(f"{line.stage:<14} {came}{made}  {mark}{'  (cached)' if line.hit else ''}".rstrip())
        for dataset, reasons in line.reasons.items():
            lines += [f"{'':<14}   {dataset}: {reason} {n:,}" for reason, n in most_frequent_first(reasons)]
    return "\n".join(lines)


def explain(store: LocalStore, stage: Stage, parts: Mapping[str, Any]) -> str:
    """Which parts of a stage's key differ from those of its newest result in the store."""
    receipts = [path for path in store.receipts() if path.parent.parent.name == stage.name]
    if not receipts:
        return f"{stage.name} will run: {store.root} holds no result of it"
    newest = read_json(receipts[-1])
    changed = differences(newest["key_parts"], parts)
    if not changed:
        return f"{stage.name} is a hit: nothing changed since {receipts[-1].parent}"
    return "\n".join([f"{stage.name} will run: {len(changed)} part(s) of its key changed since {receipts[-1].parent}",
                      *(f"  {line}" for line in changed)])  # fmt: skip


class Sighting(NamedTuple):
    """A dataset that holds a row, and what it says of it."""

    stage: str
    dataset: str
    result: Path
    row: dict[str, Any]


def sightings(store: LocalStore, row_id: str, stages: Sequence[Stage]) -> Iterator[Sighting]:
    """Every table of the store that holds the row, in pipeline order, older results first."""
    order = {stage.name: position for position, stage in enumerate(stages)}
    receipts = [(order.get(p.parent.parent.name, len(order)), p) for p in store.receipts()]
    for _, path in sorted(receipts, key=lambda pair: pair[0]):
        for name in read_json(path)["outputs"]:
            schema = load_schema(name)
            if schema.kind == "table" and schema.key[0] == "row_id":
                found = read_table(path.parent / name).filter(pl.col("row_id") == row_id).collect()
                yield from (Sighting(path.parent.parent.name, name, path.parent, row) for row in found.to_dicts())


def trace_row(store: LocalStore, row_id: str, stages: Sequence[Stage]) -> str:
    """The life of a row: file and record, every verdict with the runs in which it fell, and the models that saw it."""
    seen = list(sightings(store, row_id, stages))
    if not seen:
        raise UsageError(
            f"no table in {store.root} holds row {row_id!r}; row ids stand in the column row_id of any dataset and on every "
            f"page; name another store by --store or TEMPER_STORE"
        )
    origin = next((s.row for s in seen if "file" in s.row), {})
    lines = [
        f"row {row_id}",
        f"  from      {origin.get('source')}: {origin.get('file')}, record {origin.get('record')}",
    ]
    used_by = _runs_by_result(store)
    told: dict[str, list[str]] = {}
    for s in seen:
        line = f"  {s.stage:<13} {s.dataset}{_verdict(s.row)}"
        told.setdefault(line, []).extend(used_by.get(s.result.relative_to(store.root).as_posix(), ()))
    lines += [f"{line}{_named(sorted(set(runs)))}" for line, runs in told.items()]
    trained = {str(s.result.absolute()) for s in seen if s.dataset == "examples" and s.row["split"] == "train"}
    models = [model for model in model_versions(store) if model["examples"] in trained]
    lines += [f"  trained   {m['name']} version {m['version']}" for m in models] or ["  trained   no registered model"]
    return "\n".join(lines)


def _runs_by_result(store: LocalStore) -> dict[str, list[str]]:
    """Result folder below the store -> the runs that rest on it."""
    found: dict[str, list[str]] = {}
    for note in store.root.glob("runs/*/*.json"):
        if note.name != PLAN and (result := read_json(note)["result"]):
            found.setdefault(result, []).append(note.parent.name)
    return found


def _named(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - RUNS_NAMED:,} more" if len(runs) > RUNS_NAMED else ""
    return f"  in {', '.join(runs[:RUNS_NAMED])}{more}" if runs else "  in no run's result"


def _verdict(row: Mapping[str, Any]) -> str:
    named = (
        "reason",
        "survivor_id",
        "similarity",
        "value",
        "threshold",
        "eval_file",
        "eval_item",
        "split",
        "turn",
        "detail",
    )
    read = {**row, "detail": mask_all(row["detail"])} if row.get("detail") is not None else row
    told = [f"{name} {read[name]}" for name in named if read.get(name) is not None]
    tokens = [f"{len(row['input_ids'])} tokens, {sum(row['loss_mask'])} supervised"] if "input_ids" in row else []
    return "".join(f"  {fact}" for fact in told + tokens)


def model_versions(store: LocalStore) -> list[dict[str, Any]]:
    """Name and version of every registered model, with the result folder of the examples it was trained on."""
    found = []
    for path in store.receipts():
        receipt = read_json(path)
        if "model_version" in receipt["outputs"]:
            row = read_table(path.parent / "model_version").collect().to_dicts()[0]
            examples = Path(receipt["inputs"]["examples"]["paths"][0]).parent
            found.append({"name": row["name"], "version": row["version"], "examples": str(examples.absolute())})
    return found


def trace_model(store: LocalStore, name: str, version: int) -> str:
    """Back from a model version: the receipts it rests on, down to the files, and the rows that it was trained on."""
    model = next((m for m in model_versions(store) if (m["name"], m["version"]) == (name, version)), None)
    if model is None:
        known = ", ".join(f"{m['name']}/{m['version']}" for m in model_versions(store)) or "none"
        raise UsageError(
            f"{store.root} registered no model {name}/{version}; it knows: {known}; give one of these, or another store by "
            f"--store or TEMPER_STORE"
        )
    examples = read_table(Path(model["examples"]) / "examples")
    rows = (
        examples.filter(pl.col("split") == "train")
        .group_by("source")
        .agg(pl.col("row_id").n_unique())
        .sort("source")
        .collect()
    )
    lines = [f"model {name} version {version}"]
    lines += [f"  rests on  {stage:<13} {folder}" for stage, folder in _ancestors(Path(model["examples"]))]
    lines += [f"  trained on {count:,} rows of {source}" for source, count in rows.rows()]
    return "\n".join([*lines, f"  row ids    in {model['examples']}/examples (split = train)"])


def _ancestors(result: Path) -> Iterator[tuple[str, Path]]:
    """The results that `result` was made from, nearest first, itself included."""
    receipt = read_json(result / RECEIPT)
    yield receipt["stage"], result
    for stated in receipt["inputs"].values():
        for path in map(Path, stated["paths"]):
            if (path.parent / RECEIPT).exists():
                yield from _ancestors(path.parent)
            else:
                yield "(source)", path
