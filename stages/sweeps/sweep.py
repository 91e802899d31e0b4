"""A sweep: experiments, each a grid of settings over the same stages. Every trial is an ordinary run in the store.

So there is no second training code, and trials share what they have in common: the runner finds it done. Light: no polars.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import Field, ValidationError, model_validator

from stages.contract import Declaration, Params, Pipeline
from stages.errors import ConfigError, DataError, UsageError
from stages.execution.runs import TRIAL_PREFIX, start_run
from stages.pipeline import PIPELINES, STAGES
from stages.profile import load_profile, resolve_params
from stages.store.storage import LocalStore, digest_of, read_json, write_json

FOLDER = Path(__file__).resolve().parents[2] / "dags" / "sweeps"
PLAN = "sweep.json"
SEED = "train.seed"
PIPELINE: Pipeline = PIPELINES["trial"]


class Experiment(Declaration):
    """One question, and the settings that are tried to answer it."""

    question: str
    set: dict[str, Any] = Field(default={})  # STAGE.PARAM -> value, of all its trials
    vary: dict[str, list[Any]] = Field(default={})  # STAGE.PARAM -> values; several make a grid
    # Runs of each setting, with train.seed 0, 1, …: how much they differ is noise.
    seeds: int = Field(default=1, ge=1, le=10)

    @property
    def is_range_test(self) -> bool:
        """Whether the rate rises within each trial, so that its log is the result."""
        return self.set.get("train.schedule") == "range_test"

    def points(self) -> list[tuple[dict[str, Any], int | None]]:
        """The varied settings of each trial, and its seed where it has one of its own."""
        settings = [dict(zip(self.vary, values, strict=True)) for values in product(*self.vary.values())]
        seeds: list[int | None] = [None] if self.seeds == 1 else list(range(self.seeds))
        return [(varied, seed) for varied in settings for seed in seeds]

    @model_validator(mode="after")
    def _seeds_are_told_once(self) -> "Experiment":
        if self.seeds > 1 and SEED in {**self.set, **self.vary}:
            raise ValueError(f"seeds gives each setting runs of {SEED} 0, 1, …, so set and vary cannot name it too")
        if self.seeds > 1 and self.is_range_test:
            raise ValueError("a range test reads one training log; leave seeds out")
        return self


class Sweep(Declaration):
    """A file of dags/sweeps, or one like them."""

    description: str
    profile: str
    stages: dict[str, dict[str, Any]] = Field(default={})
    sources: dict[str, list[str]] = Field(default={})
    measure: str = "held_out_loss"  # a metric of `evaluation`, of the tuned model
    experiments: dict[str, Experiment] = Field(min_length=1)

    @model_validator(mode="after")
    def _settings_name_a_stage(self) -> "Sweep":
        names = [n for experiment in self.experiments.values() for n in (*experiment.set, *experiment.vary)]
        if wrong := sorted({n for n in names if "." not in n}):
            raise ValueError(f"{', '.join(wrong)}: say which stage's parameter, as in train.learning_rate")
        return self


class Trial(NamedTuple):
    """One run; several experiments may rest on it."""

    name: str  # of its run in the store
    last_stage: str  # what comes after it is not needed


class Point(NamedTuple):
    """One trial as an experiment sees it."""

    trial: str
    varied: Mapping[str, Any]
    seed: int | None = None  # None = the only run of its setting


class Planned(NamedTuple):
    """A sweep that was started."""

    folder: Path
    sweep: Sweep
    trials: tuple[Trial, ...]
    experiments: Mapping[str, Sequence[Point]]

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder.parent.parent)


def sweep_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_sweep(name_or_path: str) -> tuple[str, Sweep]:
    """Name and content of the sweep of that name in dags/sweeps, or of that file."""
    path = Path(name_or_path)
    path = path if path.suffix in (".yaml", ".yml") else FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        raise ConfigError(f"no sweep {name_or_path!r}; give a .yaml file or one of {', '.join(sweep_names())}")
    try:
        return path.stem, Sweep(**yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"sweep {path} is no mapping in YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"sweep {path}: {place}: {first['msg']}; a sweep has {', '.join(Sweep.model_fields)}"
        ) from error


def start_sweep(name_or_path: str, store: LocalStore, *, only: Sequence[str] = (), name: str | None = None) -> Planned:
    """Checks every trial's settings and sources, then writes the plan of each; ConfigError when any of them is wrong."""
    stem, sweep = load_sweep(name_or_path)
    if unknown := [one for one in only if one not in sweep.experiments]:
        raise UsageError(f"sweep {stem} has no experiment {', '.join(unknown)}; it has {', '.join(sweep.experiments)}")
    trials: dict[str, Trial] = {}
    experiments: dict[str, list[Point]] = {}
    for title, experiment in sweep.experiments.items():
        if not only or title in only:
            try:
                points = [_start_point(sweep, experiment, point, store, trials) for point in experiment.points()]
            except ConfigError as error:
                raise ConfigError(f"sweep {stem}, experiment {title}: {error}") from error
            experiments[title] = points
    folder = store.root / "sweeps" / (name or stem)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLAN, {
        "sweep": sweep.model_dump(mode="json"),
        "trials": [trial._asdict() for trial in trials.values()],
        "experiments": [[title, [point._asdict() for point in points]] for title, points in experiments.items()],
    })  # fmt: skip
    return load_planned(folder)


def _start_point(
    sweep: Sweep,
    experiment: Experiment,
    point: tuple[dict[str, Any], int | None],
    store: LocalStore,
    trials: dict[str, Trial],
) -> Point:
    varied, seed = point
    settings = {**experiment.set, **varied, **({} if seed is None else {SEED: seed})}
    return Point(_start_trial(sweep, settings, experiment, store, trials), varied, seed)


def _start_trial(
    sweep: Sweep, settings: Mapping[str, Any], experiment: Experiment, store: LocalStore, trials: dict[str, Trial]
) -> str:
    """The trial's name; several experiments may ask for the same."""
    overrides = {stage: dict(values) for stage, values in sweep.stages.items()}
    for setting, value in settings.items():
        stage, _, param = setting.partition(".")
        overrides.setdefault(stage, {})[param] = value
    params = resolve_params(PIPELINE.stages, load_profile(sweep.profile), overrides, list(STAGES))
    name = f"{TRIAL_PREFIX}{_digest(params, sweep)[:12]}"
    if name not in trials:
        folder = store.run_folder(name)
        start_run(PIPELINE, store, profile=sweep.profile, overrides=overrides, sources=sweep.sources, folder=folder)
        trials[name] = Trial(name, "train" if experiment.is_range_test else "evaluate")
    return name


def _digest(params: Mapping[str, Params], sweep: Sweep) -> str:
    """The same settings, however they were written, are the same trial."""
    return digest_of([{stage: values.model_dump(mode="json") for stage, values in params.items()}, sweep.profile, sweep.sources])  # fmt: skip


def load_planned(folder: Path) -> Planned:
    """The sweep whose plan stands in `folder`."""
    if not (folder / PLAN).is_file():
        raise UsageError(f"{folder} is no sweep (it has no {PLAN}); start one with python -m stages sweep start <name>")
    plan = read_json(folder / PLAN)
    try:
        experiments = {title: [Point(**point) for point in points] for title, points in plan["experiments"]}
        return Planned(folder, Sweep(**plan["sweep"]), tuple(Trial(**trial) for trial in plan["trials"]), experiments)
    except (KeyError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise DataError(f"{folder / PLAN} is no plan of a sweep ({told}); start the sweep again: what its trials made is "
                        f"found in the store") from error  # fmt: skip
