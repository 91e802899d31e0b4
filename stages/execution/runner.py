"""Runs one stage: open inputs, compute the key, believe a verified hit or make the result, check it, commit it whole."""

import importlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.contract import DEFAULT_BATCH_ROWS, Params, Stage, Workbench
from stages.errors import DataError, UsageError
from stages.execution.conservation import check_conservation
from stages.execution.inputs import Input, open_inputs
from stages.execution.receipt import Meter, most_frequent_first, write_down
from stages.pipeline import STAGES
from stages.processes.carried_rows import Earlier
from stages.processes.engine import (
    LOCAL,
    Work,
    job_of,
    run_rows,
    scan_spool,
    split_into_batches,
    table_outputs,
    transform_of,
    using,
    write_spool,
)
from stages.processes.progress import ProgressLine
from stages.schema import load_schema
from stages.store.identity import key_of, key_parts
from stages.store.locks import lock, private_folder, side_folder
from stages.store.piles import piles_in, take
from stages.store.stage_cache import open_cache
from stages.store.storage import (
    MANIFEST,
    RECEIPT,
    LocalStore,
    Manifest,
    commit,
    digest_of,
    read_json,
    read_manifest,
    staging,
    verify_dataset,
    write_json,
    write_manifest,
)
from stages.store.tables import read_table, write_parts, write_table

# Of a table whose parts a job made small: one column of texts holds nearly all, and one core packs it.
PARTS_AT_ONCE = 2


@dataclass(frozen=True)
class Request:
    """One execution of one stage. The result goes to `output`, or to its address in `store`."""

    stage: Stage
    params: Params
    inputs: Mapping[str, Sequence[Path]]
    tracking_uri: str
    output: Path | None = None
    store: LocalStore | None = None
    workers: int = 1
    batch_rows: int = DEFAULT_BATCH_ROWS
    progress_form: str = "text"
    engine: str = LOCAL  # where the workers are; never changes the result
    cache: Path | None = None  # None = in `store`; without a store nothing outlives the run


@dataclass(frozen=True)
class Outcome:
    """Where the result stands, its receipt, and whether it was there already."""

    folder: Path
    receipt: Mapping[str, Any]
    hit: bool = False
    notes: tuple[str, ...] = field(default=())


def tell(outcome: Outcome) -> str:
    """What came out, for people: rows, reasons, cost and where it is."""
    outputs, cost = outcome.receipt["outputs"], outcome.receipt["cost"]
    named = [name for name in STAGES[outcome.receipt["stage"]].outputs if name in outputs]
    made = ", ".join(f"{n} {outputs[n]['rows']:,} rows" if outputs[n]["rows"] is not None else n for n in named)
    how = "found, verified" if outcome.hit else f"{cost['seconds']:.1f} s, {cost['peak_memory_bytes'] / 2**20:,.0f} MiB"
    reasons = [
        f"  {dataset}: {', '.join(f'{reason} {count:,}' for reason, count in most_frequent_first(counts))}"
        for dataset, counts in outcome.receipt["reasons"].items()
    ]
    told = [f"  {line}" for line in outcome.receipt["facts"].get("told", ())]  # what a stage has to say for people
    notes = [f"  note: {note}" for note in outcome.notes]
    pages = [f"  page: {page}" for page in sorted(outcome.folder.glob("*/*.html"))]
    return "\n".join(
        [f"{outcome.receipt['stage']}: {made} ({how})", *reasons, *told, *notes, f"  in {outcome.folder}", *pages]
    )


def run_stage(request: Request) -> Outcome:
    """The result of `request`, made or found. Raises TemperError; then nothing was published."""
    with _opened(request) as (inputs, parts):
        final = _address(request, parts)
        with lock(final):
            found, notes = find_result(request, final, key_of(parts))
            outcome = found or _make(request, inputs, parts, final, notes)
            # Also of one that is found: whoever made it may have been killed before it could tidy up.
            for left in ("scratch", "staging", "replaced"):
                shutil.rmtree(side_folder(final) / left, ignore_errors=True)
            return outcome


def probe(request: Request) -> Outcome | None:
    """The result of `request` if it stands and every byte of it was just verified; makes nothing."""
    with _opened(request) as (_, parts):
        return find_result(request, _address(request, parts), key_of(parts))[0]


def current_key_parts(request: Request) -> dict[str, Any]:
    """What the key of `request` would be made from now."""
    with _opened(request) as (_, parts):
        return parts


@contextmanager
def _opened(request: Request) -> Iterator[tuple[dict[str, Input], dict[str, Any]]]:
    """The inputs, verified, and the parts of the key; tables made by hand live until the block ends."""
    near = request.output.parent if request.output else _store(request).root
    with private_folder(near) as imports:
        inputs = open_inputs(request.stage, request.params, request.inputs, imports)
        outside = request.tracking_uri if request.stage.outside else None
        yield inputs, key_parts(request.stage, request.params, {n: i.digest for n, i in inputs.items()}, outside)


def _address(request: Request, parts: Mapping[str, Any]) -> Path:
    final = request.output or _store(request).result_folder(request.stage.name, key_of(parts))
    _refuse_foreign_folder(final)
    return final


def _store(request: Request) -> LocalStore:
    if request.store is None:
        raise UsageError(f"stage {request.stage.name}: give --output <folder> or --store <folder>")
    return request.store


def _refuse_foreign_folder(final: Path) -> None:
    if final.is_file() or (final.is_dir() and any(final.iterdir()) and not (final / RECEIPT).exists()):
        raise UsageError(
            f"{final} exists and is not the result of a stage (it has no {RECEIPT}); choose another folder"
        )


def find_result(request: Request, final: Path, key: str) -> tuple[Outcome | None, tuple[str, ...]]:
    """A result with that key, every byte of it compared with its digests; else None, and why one was not believed."""
    if not (final / RECEIPT).exists():
        return None, ()
    try:
        receipt = read_json(final / RECEIPT)
        if receipt.get("key") != key:
            return None, ("an older result was made from other inputs, values or code",)
        for name, stated in receipt["outputs"].items():
            if verify_dataset(final / name).digest != stated["digest"]:
                raise DataError(f"{final / name} is not the dataset that its receipt names")
    except DataError as error:
        return None, (f"a stored result was refused: {error}",)
    if request.stage.outside and not _stands_outside(request, key):
        return None, ("what it registered is no longer there",)
    return Outcome(final, receipt, hit=True), ()


def _stands_outside(request: Request, key: str) -> bool:
    tracking = importlib.import_module("stages.tracking")
    return bool(tracking.stands_in_registry(request.tracking_uri, key))


def _make(
    request: Request, inputs: Mapping[str, Input], parts: Mapping[str, Any], final: Path, notes: tuple[str, ...]
) -> Outcome:
    meter, key = Meter(), key_of(parts)
    with staging(final) as staged:
        bench = _workbench(request, inputs, parts, side_folder(final) / "scratch" / key[:16])
        earlier = _earlier(request, inputs, parts)
        if earlier:
            notes += (f"rows that are the same as in {earlier.folder} were taken from there",)
        with using(request.engine, request.workers):
            facts = _produce(request, inputs, staged, bench, earlier)
        outputs = {name: _seal(staged / name) for name in request.stage.outputs_made(request.params)}
        if request.stage.decided:
            decided = inputs[request.stage.decided].value
            check_conservation(request.stage, decided, {name: folder for name, (folder, _) in outputs.items()})
        receipt = write_down(parts, key, inputs, outputs, facts, meter.read())
        write_json(staged / RECEIPT, receipt)
        commit(staged, final)
    return Outcome(final, receipt, notes=notes)


def _earlier(request: Request, inputs: Mapping[str, Input], parts: Mapping[str, Any]) -> Earlier | None:
    if request.store is None or not request.stage.costly_rows:
        return None
    return Earlier.found(request.store, request.stage, parts, inputs[request.stage.inputs[0]].value)


def _workbench(request: Request, inputs: Mapping[str, Input], parts: Mapping[str, Any], scratch: Path) -> Workbench:
    scratch.mkdir(parents=True, exist_ok=True)
    cache = open_cache(_cache_folder(request, parts, scratch))
    progress = ProgressLine(request.stage.name, request.progress_form)
    digests = {name: opened.digest for name, opened in inputs.items()}
    return Workbench(scratch, cache, request.workers, request.tracking_uri, progress, key_of(parts), digests)


def _cache_folder(request: Request, parts: Mapping[str, Any], scratch: Path) -> Path:
    """Where this very code of the stage keeps what it may need again: other code would not understand it."""
    kept = request.cache or (request.store.root / "cache" if request.store else scratch / "cache")
    code = digest_of([parts[part] for part in ("layout", "source", "lock", "schemas")])
    return kept / request.stage.name / code[:16]


def _produce(
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
    made = transform_of(stage.name)(**arguments, params=request.params, progress=bench.progress)._asdict()
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


def _seal(folder: Path) -> tuple[Path, Manifest]:
    """A dataset folder with its manifest: tables were sealed when they were written, the rest is sealed here."""
    schema = load_schema(folder.name)
    if schema.kind == "table":
        return folder, read_manifest(folder)
    (folder / MANIFEST).unlink(missing_ok=True)  # a job may have copied a whole folder of the store, manifest and all
    return folder, write_manifest(folder, schema.name, schema.kind, schema.digest, {})
