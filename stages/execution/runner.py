"""Runs one stage: open inputs, compute the key, believe a verified hit or make the result, check it, commit it whole."""

import importlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.contract import Workbench
from stages.errors import DataError, UsageError
from stages.execution.conservation import check_conservation
from stages.execution.inputs import Input, open_inputs, refuse_odd_name
from stages.execution.production import produce, seal
from stages.execution.receipt import Meter, most_frequent_first, write_down
from stages.execution.request import Outcome, Request
from stages.pipeline import STAGES
from stages.processes.carried_rows import Earlier
from stages.processes.engine import using
from stages.processes.progress import ProgressLine
from stages.store.identity import key_of, key_parts
from stages.store.locks import lock, private_folder, side_folder
from stages.store.stage_cache import open_cache
from stages.store.storage import (
    RECEIPT,
    LocalStore,
    commit,
    digest_of,
    read_json,
    staging,
    verify_dataset,
    write_json,
)


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
    refuse_odd_name(final)
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
        with using(request.engine, request.workers), _said_of_faults(final):
            facts = produce(request, inputs, staged, bench, earlier)
        outputs = {name: seal(staged / name) for name in request.stage.outputs_made(request.params)}
        if request.stage.decided:
            decided = inputs[request.stage.decided].value
            check_conservation(request.stage, decided, {name: folder for name, (folder, _) in outputs.items()})
        receipt = write_down(parts, key, inputs, outputs, facts, meter.read())
        write_json(staged / RECEIPT, receipt)
        commit(staged, final)
    return Outcome(final, receipt, notes=notes)


@contextmanager
def _said_of_faults(final: Path) -> Iterator[None]:
    """Libraries that say that a disk is full do not all say which: where the result was to go tells."""
    try:
        yield
    except Exception as fault:
        fault.add_note(f"while {final} was made")
        raise


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
