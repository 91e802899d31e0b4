"""What each command of `python -m stages` does. Returns text for stdout; raises TemperError."""

import argparse
import os
import shlex
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import describe
from stages.contract import Stage
from stages.errors import ConfigError, UsageError
from stages.pipeline import ALL, PIPELINES, STAGES
from stages.profile import load_profile, parse_value, resolve_params
from stages.store.locks import private_folder
from stages.store.storage import LocalStore, check_name, setting, tracking_uri

if TYPE_CHECKING:
    from stages.execution.request import Request
    from stages.execution.runs import Run

# Modules that load polars are imported where they are used: `list` and `--help` answer at once.


def list_stages(_: argparse.Namespace) -> str:
    return describe.stage_list(ALL)


def graph(options: argparse.Namespace) -> str:
    return describe.graph(PIPELINES[options.pipeline])


def describe_one(options: argparse.Namespace) -> str:
    if options.name in STAGES:
        return describe.stage_page(STAGES[options.name])
    return describe.dataset_page(options.name)


def run(options: argparse.Namespace) -> str:
    """Runs one stage, with what the command line gives or with what a run's plan says."""
    return _run_in_run(options) if options.run else _run_alone(options)


def _run_alone(options: argparse.Namespace) -> str:
    from stages.execution.runner import run_stage, tell

    stage: Stage = options.stage
    if options.output is None:
        raise UsageError(f"stage {stage.name}: give --output <folder>, or --run <folder> for a stage of a run")
    settings = {stage.name: dict(_pair("--set", text, "PARAM=VALUE", parse=True) for text in options.set)}
    params = resolve_params([stage], load_profile(options.profile), settings, list(STAGES))[stage.name]
    inputs: dict[str, list[Path]] = defaultdict(list)
    for text in options.input:
        name, path = _pair("--input", text, "DATASET=PATH")
        inputs[name].append(Path(path))
    output = Path(options.output)
    uri = tracking_uri(output.parent if stage.outside else None)
    return tell(run_stage(_request(options, stage, params, inputs, uri, output=output, cache=options.cache)))


def _run_in_run(options: argparse.Namespace) -> str:
    from stages.execution.runner import run_stage, tell
    from stages.execution.runs import default_store, find_run, note_finished, stage_inputs

    if options.input or options.output or options.set or options.profile or options.cache:
        raise UsageError("--run takes inputs, parameters and output from the run's plan; leave the other options out")
    run_, stage = find_run(default_store(), options.run), options.stage
    inputs = stage_inputs(run_, stage)
    if inputs is None:
        note_finished(run_, stage, None, {}, hit=False)
        return f"{stage.name}: nothing to do in this run"
    if not inputs:
        first = run_.pipeline.stages[0].name
        raise UsageError(f"run {run_.name} has finished no stage, so {stage.name} has nothing to read; run {first} first: "
                         f"python -m stages run {first} --run {run_.folder}")  # fmt: skip
    request = _request(options, stage, run_.params[stage.name], inputs, tracking_uri(run_.store.root), store=run_.store)
    outcome = run_stage(request)
    note_finished(run_, stage, outcome.folder, outcome.receipt, hit=outcome.hit)
    return tell(outcome)


def _request(options: argparse.Namespace, stage: Stage, params: Any, inputs: Any, uri: str, **where: Any) -> "Request":
    from stages.execution.request import Request

    workers = options.workers or os.cpu_count() or 1
    return Request(stage, params, inputs, uri, workers=workers, batch_rows=options.batch_rows,
                   progress_form=options.progress, engine=_engine(options), **where)  # fmt: skip


def start(options: argparse.Namespace) -> str:
    """Writes the plan of a run; the last line of the output is its folder."""
    return str(_start(options).folder)


def _start(options: argparse.Namespace, folder: Path | None = None) -> "Run":
    from stages.execution.runs import start_run

    overrides: dict[str, dict[str, Any]] = defaultdict(dict)
    for text in options.set:
        name, value = _pair("--set", text, "STAGE.PARAM=VALUE", parse=True)
        stage, dot, param = name.partition(".")
        if not dot:
            raise UsageError(f"--set {text}: say which stage's parameter, as in --set dedup.min_similarity=0.9")
        overrides[stage][param] = value
    sources: dict[str, list[str]] = defaultdict(list)
    for text in options.source:
        name, path = _pair("--source", text, "DATASET=PATH")
        sources[name].append(path)
    store = _store(options)
    if options.run_name and folder is None:
        folder = store.run_folder(options.run_name)
    return start_run(PIPELINES[options.name], store, profile=options.profile, overrides=overrides, sources=sources,
                     folder=folder)  # fmt: skip


def pipeline(options: argparse.Namespace) -> str:
    """Every stage of a pipeline in order; with --dry-run, only what would be done."""
    from stages.execution.local_run import run_pipeline

    _engine(options)  # a wrong one is told before a run of that name is planned anew
    if options.dry_run:
        return _dry_run(options)
    run_ = _start(options)
    _tell_plan(run_)
    for told in run_pipeline(run_, partial(_request, options), _execution_options(options)):
        print(told, flush=True)  # noqa: T201
    version = _publish(run_)
    published = [f"published data set {version[:12]}"] if version else []
    beside = "report" not in {stage.name for stage in run_.pipeline.stages}
    folder = shlex.quote(str(run_.folder))  # also where the store is not the default one
    report = [f"next: python -m stages run report --run {folder}"] if beside else []
    return "\n".join([*published, f"done: {run_.folder}", f"next: python -m stages ledger {folder}", *report])


def _dry_run(options: argparse.Namespace) -> str:
    """What would be done, of a plan that nobody else sees: a run of that name, and what it noted, stay as they are."""
    from stages.execution.local_run import what_would_run
    from stages.execution.runs import make_runs, new_name

    store = _store(options)
    name = options.run_name or new_name(store, options.name)
    with private_folder(make_runs(store).parent) as place:
        run_ = _start(options, place / check_name(name))
        _tell_plan(run_)
        return what_would_run(run_, partial(_request, options))


def _tell_plan(run_: "Run") -> None:
    print(f"run {run_.name}: pipeline {run_.pipeline.name}, profile {run_.profile}{_done_without(run_)}", flush=True)  # noqa: T201


def _done_without(run_: "Run") -> str:
    """The optional sources that no one gave, and the stages that do without: nothing is decontaminated without evals."""
    lacking = {name: stage.name for stage in run_.pipeline.stages for name in stage.inputs_read(run_.params[stage.name])
               if name in run_.pipeline.sources and name not in run_.sources}  # fmt: skip
    told = [f"{stage} works without {name} (--source {name}=<path>)" for name, stage in lacking.items()]
    return f"; {', '.join(told)}" if told else ""


def _execution_options(options: argparse.Namespace) -> list[str]:
    workers = ["--workers", str(options.workers)] if options.workers else []
    engine = ["--engine", options.engine] if options.engine else []
    return ["--batch-rows", str(options.batch_rows), "--progress", options.progress, *workers, *engine]


def _engine(options: argparse.Namespace) -> str:
    """The engine asked for, or the one that TEMPER_ENGINE names."""
    from stages.processes.engine import ENGINES, LOCAL

    engine: str = options.engine or setting("ENGINE", LOCAL)
    if engine not in ENGINES:
        raise ConfigError(f"no engine {engine!r} (from TEMPER_ENGINE); it is one of {', '.join(ENGINES)}")
    return engine


def publish(options: argparse.Namespace) -> str:
    from stages.execution.runs import default_store, find_run

    version = _publish(find_run(default_store(), options.run))
    return f"published data set {version}" if version else "this run curates nothing, so nothing was published"


def _publish(run_: "Run") -> str | None:
    from stages.execution.runs import publish as publish_run

    return publish_run(run_)


def explain(options: argparse.Namespace) -> str:
    from stages.execution import lineage
    from stages.execution.local_run import find_finished
    from stages.execution.runner import current_key_parts
    from stages.execution.runs import find_run, stage_inputs

    store, stage = _store(options), STAGES[options.stage]
    run_ = find_run(store, options.in_run or "latest")
    make_request = partial(_request, argparse.Namespace(workers=1, batch_rows=1, progress="off", engine=None))
    if earlier := find_finished(run_, make_request, before=stage):
        return f"{stage.name} cannot be judged yet: {earlier.name}, which comes before it, would run first (explain {earlier.name})"
    inputs = stage_inputs(run_, stage)
    if inputs is None:
        return f"{stage.name} has nothing to do in run {run_.name}"
    request = make_request(stage, run_.params[stage.name], inputs, tracking_uri(store.root), store=store)
    return lineage.explain(store, stage, current_key_parts(request))


def trace(options: argparse.Namespace) -> str:
    from stages.execution import lineage

    store, (name, slash, version) = _store(options), options.what.rpartition("/")
    if slash and version.isdigit():
        return lineage.trace_model(store, name, int(version))
    return lineage.trace_row(store, options.what, ALL.stages)


def ledger(options: argparse.Namespace) -> str:
    from stages.execution import lineage
    from stages.execution.runs import find_run

    return lineage.ledger_text(find_run(_store(options), options.which))


def diff(options: argparse.Namespace) -> str:
    """What differs between two snapshots, as text; with --output also as a page."""
    from stages.comparisons.data_diff import compare
    from stages.comparisons.diff_page import diff_page
    from stages.comparisons.diff_quotes import quoted_classes
    from stages.comparisons.diff_text import diff_text
    from stages.comparisons.snapshots import find_snapshot

    if options.output and not options.output.absolute().parent.is_dir():
        raise UsageError(f"--output {options.output}: there is no folder {options.output.parent}; make it first")
    if options.output and options.output.is_dir():
        raise UsageError(f"--output {options.output} is a folder; name the page, as in {options.output}/diff.html")
    store = _store(options)
    difference = compare(find_snapshot(store, options.before), find_snapshot(store, options.after))
    text = diff_text(difference, quoted_classes(difference, options.examples, 200))
    if options.output is None:
        return text
    page = diff_page(difference, quoted_classes(difference, max(options.examples, 10), 400))
    options.output.write_text(page, encoding="utf-8")
    return f"{text}\n\npage: {options.output}"


def docs(options: argparse.Namespace) -> str:
    from stages.docs import stale_documents, write_documents

    if options.check:
        if stale := stale_documents():
            raise ConfigError(f"{', '.join(stale)} no longer say what the code says; run python -m stages docs")
        return "the generated documents are up to date"
    return f"wrote {', '.join(write_documents()) or 'nothing, all was up to date'}"


def _store(options: argparse.Namespace) -> LocalStore:
    from stages.execution.runs import default_store

    return LocalStore(options.store) if options.store else default_store()


def _pair(option: str, text: str, form: str, *, parse: bool = False) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} {text!r} is not of the form {form}; write both sides of an equals sign")
    return name.strip(), parse_value(value) if parse else value
