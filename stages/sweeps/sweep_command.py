"""`python -m stages sweep …`: starts a sweep, runs its trials, compares them. Light until it runs."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import DataError, TemperError, UsageError
from stages.store.storage import LocalStore, tracking_uri

if TYPE_CHECKING:
    from stages.sweeps.sweep import Planned, Trial


def add_options(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="start|trial|compare|run")
    for verb, function, told in (
        ("run", run, "all of it, here and one trial after another"),
        ("start", start, "check every trial and write its plan; prints the sweep's folder"),
        ("trial", trial, "run one trial; what stands in the store already is found there"),
        ("compare", compare, "write the page that compares the trials, and log them to MLflow"),
    ):
        one = verbs.add_parser(verb, help=told)
        one.set_defaults(command=function)
        if verb in ("run", "start"):
            one.add_argument("name", metavar="NAME|FILE", help="a sweep of dags/sweeps, or a file like them")
            one.add_argument(
                "--experiment", action="append", default=[], metavar="NAME", help="only this one; repeatable"
            )
            one.add_argument("--store", type=Path, metavar="FOLDER")
            one.add_argument("--name", dest="sweep_name", metavar="NAME", help="of its folder (default: of the file)")
        if verb == "trial":
            one.add_argument("trial", metavar="TRIAL")
        if verb in ("trial", "compare"):
            one.add_argument("--sweep", type=Path, required=True, metavar="FOLDER")


def start(options: argparse.Namespace) -> str:
    return str(_start(options).folder)


def _start(options: argparse.Namespace) -> "Planned":
    from stages.execution.runs import default_store
    from stages.sweeps.sweep import start_sweep

    store = LocalStore(options.store) if options.store else default_store()
    return start_sweep(options.name, store, only=options.experiment, name=options.sweep_name)


def trial(options: argparse.Namespace) -> str:
    from stages.sweeps.sweep import load_planned

    planned = load_planned(options.sweep)
    chosen = [one for one in planned.trials if one.name == options.trial]
    if not chosen:
        known = ", ".join(one.name for one in planned.trials)
        raise UsageError(f"sweep {options.sweep} has no trial {options.trial}; its trials are {known}")
    return "\n".join(_run_trial(planned, chosen[0]))


def _run_trial(planned: "Planned", one: "Trial") -> Iterator[str]:
    """All stages in this process: loading their libraries again for each would take longer than many a trial."""
    from stages.execution.request import Request
    from stages.execution.runner import run_stage, tell
    from stages.execution.runs import load_run, note_finished, stage_inputs

    run_ = load_run(planned.store.run_folder(one.name))
    uri = tracking_uri(planned.store.root)
    for stage in run_.pipeline.stages:
        inputs = stage_inputs(run_, stage)
        if inputs is None:
            note_finished(run_, stage, None, {}, hit=False)
        else:
            workers = os.cpu_count() or 1
            outcome = run_stage(Request(stage, run_.params[stage.name], inputs, uri, store=run_.store, workers=workers))
            note_finished(run_, stage, outcome.folder, outcome.receipt, hit=outcome.hit)
            if not outcome.hit:
                yield tell(outcome)
        if stage.name == one.last_stage:
            return


def compare(options: argparse.Namespace) -> str:
    """Writes what there is to compare, and then fails when a trial is missing: what was learned is not lost."""
    from stages.store.storage import tracking_uri as uri_of
    from stages.sweeps.sweep import load_planned
    from stages.sweeps.sweep_log import log_sweep
    from stages.sweeps.sweep_page import sweep_page
    from stages.sweeps.sweep_results import results_of

    planned = load_planned(options.sweep)
    results = results_of(planned)
    page = planned.folder / "sweep.html"
    page.write_text(sweep_page(planned.folder.name, planned.sweep, results), encoding="utf-8")
    log_sweep(uri_of(planned.store.root), planned, results)
    lines = [f"{result.title}: {result.reading}" for result in results]
    missing = [
        one.name for one in planned.trials if not any(point.trial == one.name for r in results for point in r.found)
    ]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(planned.trials)} trials have no result ({', '.join(missing[:3])}); run them again, or "
            f"change their settings. What the others show: {page}"
        )
    return "\n".join([*lines, f"page: {page}"])


def run(options: argparse.Namespace) -> str:
    """A trial that fails does not stop the others."""
    planned = _start(options)
    for number, one in enumerate(planned.trials, start=1):
        print(f"[{number} of {len(planned.trials)}] {one.name}", flush=True)  # noqa: T201
        try:
            for told in _run_trial(planned, one):
                print(told, flush=True)  # noqa: T201
        except TemperError as error:
            print(f"failed: {error}", flush=True)  # noqa: T201
    return compare(argparse.Namespace(sweep=planned.folder))
