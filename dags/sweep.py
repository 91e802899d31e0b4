"""DAG `sweep`: the trials of a sweep, as many tasks as its description asks for, and one page that compares them.

A trial runs all its stages in one task and one process: started alone, each would load its libraries anew, which takes
longer than most of them work.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import DAG, Param, task

from operators import StagesCommand, run_folder, store_folder
from stages.store.storage import setting
from stages.sweeps.sweep import PLAN, sweep_names


def sweep_folder(context: Mapping[str, Any]) -> str:
    """Where this DAG run keeps its plan and its page."""
    return str(store_folder() / "sweeps" / run_folder(context).name)


class StartSweep(StagesCommand):
    """Checks every trial and writes its plan."""

    def command(self, context: Mapping[str, Any]) -> list[str]:
        asked, name = context["params"], run_folder(context).name
        only = [word for one in asked["experiments"] for word in ("--experiment", one)]
        return ["sweep", "start", asked["sweep"], "--store", str(store_folder()), "--name", name, *only]


class TrialOfSweep(StagesCommand):
    """One trial, by its name."""

    template_fields: Sequence[str] = ("trial",)

    def __init__(self, *, trial: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trial = trial

    def command(self, context: Mapping[str, Any]) -> list[str]:
        return ["sweep", "trial", self.trial, "--sweep", sweep_folder(context)]


class CompareTrials(StagesCommand):
    """The page, and the runs in MLflow; fails when a trial did."""

    def command(self, context: Mapping[str, Any]) -> list[str]:
        return ["sweep", "compare", "--sweep", sweep_folder(context)]


@task
def trials(**context: Any) -> list[str]:
    """Their names, for the mapping."""
    with open(f"{sweep_folder(context)}/{PLAN}", encoding="utf-8") as file:
        return [trial["name"] for trial in json.load(file)["trials"]]


with DAG(
    dag_id="sweep",
    description="Experiments on data and settings: a grid of small trainings and one comparison",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "sweep": Param(
            setting("SWEEP", "demo"), type="string", examples=sweep_names(), description="A sweep's name or file"
        ),
        "experiments": Param([], type="array", description="Only these; all if empty"),
    },
    tags=["temper"],
) as dag:
    names = trials()
    StartSweep(task_id="start", doc="Check every trial and write its plan") >> names
    tried = TrialOfSweep.partial(
        task_id="trial", retries=1, max_active_tis_per_dagrun=2, map_index_template="{{ task.trial }}"
    ).expand(trial=names)
    tried >> CompareTrials(task_id="compare", trigger_rule="all_done", doc="One page, and runs in MLflow")
