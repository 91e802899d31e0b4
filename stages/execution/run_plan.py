"""The plan of a run as it stands in its folder: what a run may rely on, and what to say of a file that is no plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator

from stages.contract import Declaration, Params
from stages.errors import ConfigError, DataError, UsageError
from stages.pipeline import PIPELINES, STAGES
from stages.store.storage import read_json, write_json

PLAN = "run.json"


class RunPlan(Declaration):
    """Pipeline and profile by name, the values of each stage, and the paths of each source."""

    pipeline: str
    profile: str
    params: dict[str, dict[str, Any]]
    sources: dict[str, list[str]]

    @field_validator("pipeline")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in PIPELINES:
            raise ValueError(f"there is no pipeline {name!r} (pipelines: {', '.join(PIPELINES)})")
        return name


def write_plan(folder: Path, plan: RunPlan) -> None:
    write_json(folder / PLAN, plan.model_dump(mode="json"))


def read_plan(folder: Path) -> RunPlan:
    """The plan in `folder`. Raises UsageError where there is none, DataError where the file is no plan."""
    if not (folder / PLAN).is_file():
        raise UsageError(f"{folder} is no run (it has no {PLAN}); start one with python -m stages start <pipeline>")
    try:
        return RunPlan.model_validate(read_json(folder / PLAN))
    except ValidationError as error:
        raise DataError(f"{folder / PLAN} is no plan of a run: {_first_fault(error)}; start a new run under another name, "
                        f"or delete this folder: the results in the store stay") from error  # fmt: skip


def planned_params(folder: Path) -> Mapping[str, Params]:
    """Stage -> values that stand in the plan of a run. Raises ConfigError where today's code does not know them."""
    stated = read_plan(folder).params
    try:
        return {stage: STAGES[stage].params(**values) for stage, values in stated.items()}
    except ValidationError as error:
        fault = _first_fault(error)
    except KeyError as error:
        fault = f"there is no stage {error}"
    raise ConfigError(f"{folder} was planned by other code: {fault}; start a new run, or compare what this one made "
                      f"with python -m stages diff")  # fmt: skip


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg'].removeprefix('Value error, ')}"
