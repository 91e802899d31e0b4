"""Makes a model version in MLflow in steps that a retry recognises, so that an execution has one version, never two."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from stages.tracking import KEY_TAG

VERSIONS_TAG = "mlflow.modelVersions"  # MLflow's own link from a logged model to its versions
MODELS_URI = "models:/"


@dataclass(frozen=True)
class Registration:
    """What becomes a version. `folders` are pairs of a place in the model's files ("" is the top) and what goes there."""

    name: str
    key: str
    folders: Sequence[tuple[str, Path]]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    description: str


def find_version(client: MlflowClient, name: str, key: str) -> ModelVersion | None:
    """The version that the execution `key` made. Were there two, every caller gets the first."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{KEY_TAG}` = '{key}'")
    return min(found, key=lambda version: int(version.version), default=None)


def make_version(client: MlflowClient, run: Run, wanted: Registration) -> ModelVersion:
    """A new version whose files are all there. What a killed attempt logged is finished, not logged again."""
    model = _find_logged_model(client, run, wanted.key) or client.create_logged_model(
        run.info.experiment_id,
        name=wanted.name,
        source_run_id=run.info.run_id,
        tags={**wanted.tags, KEY_TAG: wanted.key},
    )
    if model.status != LoggedModelStatus.READY:
        # The same key means the same files, so those of a killed attempt are written over.
        for place, folder in wanted.folders:
            client.log_model_artifacts(model.model_id, str(folder), artifact_path=place or None)
        model = client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    _log_metrics(client, run, model.model_id, wanted.metrics)
    _ensure_registered_model(client, wanted.name)
    return client.create_model_version(
        wanted.name,
        f"{MODELS_URI}{model.model_id}",
        run_id=run.info.run_id,
        tags={**wanted.tags, KEY_TAG: wanted.key},
        description=wanted.description,
        model_id=model.model_id,
    )


def link_version(client: MlflowClient, version: ModelVersion) -> None:
    """Names the version on its logged model, where MLflow's pages look for it, and ends the run; repeatable."""
    model = client.get_logged_model(version.source.removeprefix(MODELS_URI))
    links = json.loads(model.tags.get(VERSIONS_TAG, "[]"))
    link = {"name": version.name, "version": version.version}
    if link not in links:
        client.set_logged_model_tags(model.model_id, {VERSIONS_TAG: json.dumps([*links, link])})
    client.set_terminated(version.run_id)


def _find_logged_model(client: MlflowClient, run: Run, key: str) -> LoggedModel | None:
    """What an earlier attempt left: a whole model, else one whose files are not all there."""
    found = client.search_logged_models([run.info.experiment_id], f"tags.`{KEY_TAG}` = '{key}'")
    usable = [model for model in found if model.status != LoggedModelStatus.FAILED]
    return min(usable, key=lambda m: (m.status != LoggedModelStatus.READY, m.creation_timestamp), default=None)


def _log_metrics(client: MlflowClient, run: Run, model_id: str, metrics: Mapping[str, float]) -> None:
    """Logging them again changes nothing: a metric is identified by its time, and that is when the run began."""
    when = run.info.start_time
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(name, value, when, 0, model_id=model_id, run_id=run.info.run_id)
            for name, value in sorted(metrics.items())
            if math.isfinite(value)
        ],
        synchronous=True,
    )


def _ensure_registered_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
