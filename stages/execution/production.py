"""Calls a stage and writes down what it makes: tables in canonical form, the rest as it lies, each dataset sealed."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.contract import Stage, Workbench
from stages.execution.inputs import Input
from stages.execution.request import Request
from stages.processes.carried_rows import Earlier
from stages.processes.engine import Work, job_of, run_rows, split_into_batches, table_outputs, transform_of
from stages.processes.spool import scan_spool, write_spool
from stages.schema import load_schema
from stages.store.piles import piles_in, take
from stages.store.storage import MANIFEST, Manifest, read_manifest, write_manifest
from stages.store.tables import read_table, write_parts, write_table

# Of a table whose parts a job made small: one column of texts holds nearly all, and one core packs it.
PARTS_AT_ONCE = 2


def produce(
    request: Request, inputs: Mapping[str, Input], staged: Path, bench: Workbench, earlier: Earlier | None
) -> Mapping[str, Any]:
    """Calls the stage; every output it makes then lies in `staged`, tables in canonical form. Returns its facts."""
    values = {name: opened.value for name, opened in inputs.items()}
    if request.stage.kind == "rows":
        return _produce_rows(request, values, staged, bench, earlier)
    return {"table": _produce_table, "job": _produce_job}[request.stage.kind](request, values, staged, bench)


def _produce_rows(
    request: Request, values: Mapping[str, Any], staged: Path, bench: Workbench, earlier: Earlier | None
) -> Mapping[str, Any]:
    stage, spool = request.stage, staged / "spool"
    batches = split_into_batches(values[stage.inputs[0]], request.batch_rows, request.workers)
    work = Work(stage, request.params, earlier)
    run_rows(work, batches, spool, workers=request.workers, progress=bench.progress)
    tables = _write_tables(table_outputs(stage), spool, staged)
    others = {name: _fresh(staged / name) for name in stage.outputs if name not in tables}
    facts = job_of(stage.name)(**tables, **others, params=request.params, workbench=bench) if others else None
    return facts or {}


def _produce_table(request: Request, values: Mapping[str, Any], staged: Path, bench: Workbench) -> Mapping[str, Any]:
    stage, spool = request.stage, staged / "spool"
    arguments = {
        name: read_table(value) if isinstance(value, Path) else value
        for name, value in _with_absent(stage, values).items()
    }
    made = stage.named(transform_of(stage.name)(**arguments, params=request.params, progress=bench.progress))
    facts = {"told": made.pop("told")} if "told" in made else {}
    write_spool(made, spool)
    _write_tables(stage.outputs, spool, staged)
    return facts


def _produce_job(request: Request, values: Mapping[str, Any], staged: Path, bench: Workbench) -> Mapping[str, Any]:
    stage, made = request.stage, request.stage.outputs_made(request.params)
    tables = [name for name in made if load_schema(name).kind == "table"]
    folders = {name: _fresh((staged / "spool" if name in tables else staged) / name) for name in made}
    absent = dict.fromkeys(set(stage.outputs) - set(made))
    facts = job_of(stage.name)(
        **_with_absent(stage, values), **folders, **absent, params=request.params, workbench=bench
    )
    _write_tables(tables, staged / "spool", staged)
    return facts or {}


def _with_absent(stage: Stage, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in (*stage.inputs, *stage.optional_inputs)}


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _write_tables(names: Sequence[str], spool: Path, staged: Path) -> dict[str, Path]:
    for name in names:
        schema, folder = load_schema(name), _fresh(staged / name)
        if piles_in(spool / name):
            counts = write_parts(take(spool / name), schema, folder, at_once=PARTS_AT_ONCE)
        else:
            counts = write_table(scan_spool(spool / name, schema), schema, folder)
        write_manifest(folder, name, schema.kind, schema.digest, counts)
    shutil.rmtree(spool, ignore_errors=True)
    return {name: staged / name for name in names}


def seal(folder: Path) -> tuple[Path, Manifest]:
    """A dataset folder with its manifest: tables were sealed when they were written, the rest is sealed here."""
    schema = load_schema(folder.name)
    if schema.kind == "table":
        return folder, read_manifest(folder)
    (folder / MANIFEST).unlink(missing_ok=True)  # a job may have copied a whole folder of the store, manifest and all
    return folder, write_manifest(folder, schema.name, schema.kind, schema.digest, {})
