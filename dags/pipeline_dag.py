"""Makes the DAG of a pipeline from its declaration: plan, then one task a stage."""

from typing import Any

from airflow.sdk import DAG, Asset, Param

from operators import PlanRun, StagesCommand, stage_task
from stages.contract import Pipeline
from stages.profile import profile_names
from stages.store.storage import setting

DATASET = Asset(name="dataset", uri="temper://dataset")


def pipeline_dag(pipeline: Pipeline, *, schedule: Any, publishes: Asset | None = None) -> DAG:
    """plan -> the stages, each after those whose outputs it reads -> publish, for a pipeline that publishes."""
    with DAG(
        dag_id=pipeline.name,
        description=pipeline.purpose,
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        params=_params(),
        tags=["temper"],
    ) as dag:
        plan = PlanRun(task_id="plan", pipeline=pipeline.name, doc="Check parameters and sources, write the plan")
        tasks = {}
        for stage in pipeline.stages:
            tasks[stage.name] = stage_task(stage, setting("RUNNER", "process"))  # type: ignore[arg-type]
            upstream = [tasks[earlier.name] for earlier in pipeline.upstream(stage)]
            tasks[stage.name].set_upstream(upstream or [plan])
        if publishes:
            last = tasks[pipeline.stages[-1].name]
            last >> StagesCommand(task_id="publish", arguments=["publish"], outlets=[publishes], doc="Move the ref")
    return dag


def _params() -> dict[str, Param]:
    """What a person may change when triggering a run by hand."""
    return {
        "profile": Param(
            setting("PROFILE", "demo"), type="string", examples=profile_names(), description="A profile's name or file"
        ),
        "sources": Param({}, type="object", description='Sources in place of the profile\'s: {"raw": ["folder"]}'),
        "set": Param(
            {}, type="object", description='Parameters in place of the profile\'s: {"dedup.min_similarity": 0.9}'
        ),
    }
