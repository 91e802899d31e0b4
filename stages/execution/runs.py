"""A run of a pipeline: its plan, checked and written down before the first stage, and where each stage's result stands.

A run folder holds `run.json` and one `<stage>.json` per finished stage. Whoever schedules the stages (a shell, Airflow)
needs to hand over nothing but the folder.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from stages.contract import Params, Pipeline, Stage
from stages.errors import ConfigError, DataError, UsageError
from stages.execution.run_checks import refuse_what_is_missing, unread_sources
from stages.execution.run_plan import PLAN, RunPlan, planned_params, read_plan, write_plan
from stages.near_names import did_you_mean
from stages.pipeline import CURATION, PIPELINES, STAGES
from stages.profile import load_profile, resolve_params, resolve_sources
from stages.raw_files.source_files import stated_root
from stages.store.storage import LocalStore, digest_of, read_json, read_manifest, setting, write_json

PUBLISHED = "dataset"  # the ref that names the newest curated data set
# What any pipeline may be given from outside.
SOURCES = {
    name
    for line in PIPELINES.values()
    for name in (*line.sources, *(i for s in line.stages for i in s.optional_inputs))
}
TRIAL_PREFIX = "trial-"  # runs of a sweep: they are many, and nobody means one by `latest`


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline."""

    folder: Path
    pipeline: Pipeline
    profile: str
    params: Mapping[str, Params]
    sources: Mapping[str, tuple[Path, ...]]

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder.parent.parent)

    @property
    def name(self) -> str:
        return self.folder.name


def default_store() -> LocalStore:
    return LocalStore(Path(setting("STORE", "work/store")))


def start_run(
    pipeline: Pipeline,
    store: LocalStore,
    *,
    profile: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    sources: Mapping[str, Sequence[str]] | None = None,
    folder: Path | None = None,
) -> Run:
    """A new run whose plan was checked as a whole and written down: in `folder`, which is called as the run is, or in a new
    one of the store's. Raises ConfigError with everything that is wrong.
    """
    chosen = load_profile(profile)
    params = resolve_params(pipeline.stages, chosen, overrides or {}, list(STAGES))
    params = {name: values.in_run({**_curated_with(pipeline, store), **params}) for name, values in params.items()}
    found = {**published_datasets(pipeline, store), **resolve_sources(pipeline, chosen, sources or {}, SOURCES)}
    unread = unread_sources(pipeline, params)
    found = {source: paths for source, paths in found.items() if source not in unread}
    refuse_what_is_missing(pipeline, params, found)
    make_runs(store)
    folder = folder or _new_folder(store, pipeline.name)
    folder.mkdir(exist_ok=True)
    plan = RunPlan(
        pipeline=pipeline.name,
        profile=chosen.name,
        params={stage: values.model_dump(mode="json") for stage, values in params.items()},
        sources={source: [stated_root(path) for path in paths] for source, paths in sorted(found.items())},
    )
    _forget_another_plan(folder, plan)
    write_plan(folder, plan)
    return load_run(folder)


def _forget_another_plan(folder: Path, plan: RunPlan) -> None:
    """A name used again for another plan: what was noted under the first one says nothing of this one."""
    try:
        same = read_plan(folder) == plan
    except (UsageError, DataError):
        same = False
    for stage in () if same else STAGES:
        (folder / f"{stage}.json").unlink(missing_ok=True)


def load_run(folder: Path) -> Run:
    """The run whose plan stands in `folder`."""
    plan = read_plan(folder)
    planned = planned_params(folder)
    # A stage beside the pipeline, such as the report on a curation, runs with its defaults.
    params = {**{name: stage.params() for name, stage in STAGES.items()}, **planned}
    params = {name: values.in_run(planned, folder.name) for name, values in params.items()}
    sources = {name: tuple(map(Path, paths)) for name, paths in plan.sources.items()}
    return Run(folder, PIPELINES[plan.pipeline], plan.profile, params, sources)


def find_run(store: LocalStore, name: str) -> Run:
    """A run by its name, its folder, or `latest`."""
    return load_run(find_run_folder(store, name))


def find_run_folder(store: LocalStore, name: str) -> Path:
    """The folder of a run, by its name, its folder, or `latest`."""
    if (Path(name) / PLAN).is_file():
        return Path(name)
    runs = (path for path in store.root.glob(f"runs/*/{PLAN}") if not path.parent.name.startswith(TRIAL_PREFIX))
    plans = sorted(runs, key=lambda path: path.stat().st_mtime_ns)
    if name == "latest" and plans:
        return plans[-1].parent
    if (store.root / "runs" / name / PLAN).is_file():
        return store.run_folder(name)
    raise UsageError(f"no run {name!r} in {store.root}; {_instead(store, name, [path.parent.name for path in plans])}")


def _instead(store: LocalStore, name: str, known: Sequence[str]) -> str:
    """What to do about a run that is not there; `known` are the names of those that are, the newest last."""
    if not known:
        lacking = "has none yet" if store.root.is_dir() else "does not exist"
        return f"that store {lacking}: start one (python -m stages pipeline curate --source raw=<path>), or name another store " \
               f"by --store or TEMPER_STORE"  # fmt: skip
    meant = did_you_mean(name, known, behind=" ")
    return f"{meant}give latest, the folder of a run, or one of the newest: {', '.join(known[-10:])}"


def look_back(folder: Path) -> Run:
    """A run to read what it made, whatever code planned it: without its parameters, which today's code may not know."""
    plan = read_plan(folder)
    return Run(folder, PIPELINES[plan.pipeline], plan.profile, {}, {})


def published_datasets(pipeline: Pipeline, store: LocalStore) -> dict[str, tuple[Path, ...]]:
    """For a pipeline that starts from the curated data set: the newest published one, never what an event named."""
    wanted = [name for stage in CURATION for name in stage.outputs if name in pipeline.sources]
    if not wanted:
        return {}
    ref = store.read_ref(PUBLISHED)
    if ref is None:
        raise ConfigError(f"nothing is published in {store.root} yet; run the pipeline curate first")
    datasets = ref.facts["datasets"]
    return {name: (store.root / datasets[name],) for name in wanted if name in datasets}


def _curated_with(pipeline: Pipeline, store: LocalStore) -> Mapping[str, Params]:
    """Stage -> values that the newest published data set was made with, for a pipeline that starts from it."""
    ref = store.read_ref(PUBLISHED)
    if ref is None or set(CURATION) <= set(pipeline.stages):
        return {}
    try:
        return planned_params(store.run_folder(ref.facts["run"]))
    except (UsageError, DataError, ConfigError):
        return {}  # its folder was tidied away, or other code planned it


def _new_folder(store: LocalStore, pipeline: str) -> Path:
    while True:
        folder = store.run_folder(new_name(store, pipeline))
        try:
            folder.mkdir()
        except FileExistsError:
            continue  # somebody else took the name
        return folder


def make_runs(store: LocalStore) -> Path:
    """The folder of all runs. Raises UsageError where there can be none."""
    runs = store.root / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise UsageError(f"store {store.root}: no folder can be made there; choose another place for it") from error
    return runs


def new_name(store: LocalStore, pipeline: str) -> str:
    """What the next run is called that nobody gives a name."""
    taken = set(os.listdir(make_runs(store)))
    names = (f"{pipeline}-{number:04d}" for number in count(len(taken) + 1))
    return next(name for name in names if name not in taken)


def stage_inputs(run: Run, stage: Stage) -> dict[str, tuple[Path, ...]] | None:
    """What the stage reads in this run; None when it has nothing to do because its input's alternative was made."""
    available = {**run.sources, **stage_outputs(run, before=stage)}
    alternatives = {name for s in run.pipeline.stages for name in s.either}
    missing = [name for name in stage.inputs if name not in available]
    if missing and set(missing) <= alternatives:
        return None
    if missing:
        raise UsageError(
            f"run {run.name}: stage {stage.name} needs {', '.join(missing)}, {_why_missing(run, stage, missing)}"
        )
    return {name: available[name] for name in stage.inputs_read(run.params[stage.name]) if name in available}


def _why_missing(run: Run, stage: Stage, missing: Sequence[str]) -> str:
    made = {name for made_by in run.pipeline.stages for name in made_by.outputs}
    if foreign := [name for name in missing if name not in made]:
        having = [pipeline.name for pipeline in PIPELINES.values() if stage in pipeline.stages]
        return f"and its pipeline {run.pipeline.name} has no {', '.join(foreign)}; give a run of {' or '.join(having)}"
    waiting = next((s.name for s in run.pipeline.stages if finished(run, s) is None), "its maker")
    return f"which no finished stage made yet; run {waiting} first: python -m stages run {waiting} --run {run.folder}"


def stage_outputs(run: Run, *, before: Stage | None = None) -> dict[str, tuple[Path, ...]]:
    """Dataset -> folder, of all stages of the run that are done (and come before `before`); later ones win."""
    found: dict[str, tuple[Path, ...]] = {}
    for stage in run.pipeline.stages:
        if stage == before:
            break
        done = finished(run, stage)
        if done and done["result"]:
            result = run.store.root / done["result"]
            found |= {name: (result / name,) for name in done["outputs"]}
    return found


def finished(run: Run, stage: Stage) -> dict[str, Any] | None:
    """What the run noted of a finished stage, or None."""
    note = run.folder / f"{stage.name}.json"
    return read_json(note) if note.exists() else None


def note_finished(run: Run, stage: Stage, result: Path | None, receipt: Mapping[str, Any], *, hit: bool) -> None:
    """Writes down where a stage's result stands; `result` None = it had nothing to do.

    Notes of stages that rested on another result of this stage go: a run never tells of two executions at once.
    """
    note = {
        "result": result and os.path.relpath(result, run.store.root),
        "outputs": {name: stated["digest"] for name, stated in receipt.get("outputs", {}).items()},
        "hit": hit,
    }
    before = finished(run, stage)
    if before and before["outputs"] != note["outputs"]:
        for later in run.pipeline.downstream(stage):
            (run.folder / f"{later.name}.json").unlink(missing_ok=True)
    write_json(run.folder / f"{stage.name}.json", note)


def curated_datasets(run: Run) -> dict[str, str]:
    """Dataset -> folder below the store, of what the run curated; the digest of all of it is the data set's version."""
    curated = {name for stage in CURATION for name in stage.outputs}
    made = stage_outputs(run).items()
    return {name: os.path.relpath(paths[0], run.store.root) for name, paths in made if name in curated}


def publish(run: Run) -> str | None:
    """Moves the data set's ref to what this run curated; returns its version, or None for a run that curates nothing.

    Raises DataError where no example is left: a schedule must not put nothing in the place of a data set.
    """
    is_trial = run.pipeline == PIPELINES["trial"]  # its curation may be worse on purpose
    if is_trial or not {stage.name for stage in CURATION} <= {stage.name for stage in run.pipeline.stages}:
        return None
    datasets = curated_datasets(run)
    if "examples" not in datasets:
        raise UsageError(f"run {run.name} is not finished: no examples were made; run its stages first")
    if not read_manifest(run.store.root / datasets["examples"]).rows:
        raise DataError(
            f"run {run.name} left no example, so what is published stays as it is; ask `ledger {run.name}` why"
        )
    version = digest_of(sorted(datasets.items()))
    current = run.store.read_ref(PUBLISHED)
    if current is None or current.version != version:
        facts = {"datasets": datasets, "run": run.name}
        run.store.move_ref(PUBLISHED, expected=current.version if current else None, version=version, facts=facts)
    return version
