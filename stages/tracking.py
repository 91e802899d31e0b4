"""Everything MLflow that more than one stage needs: a quiet client, and what it finds or makes there.

Importing this module does not load mlflow (4 s); calling it does.
"""

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import ConfigError, ServiceUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException

KEY_TAG = "temper.key"  # on runs, logged models and versions: the execution that made them
PROMOTION_KEY_TAG = "temper.promotion_key"  # on versions: the execution that judged it
SQLITE = "sqlite:///"
# MLflow 3.17's tables. A version that was deleted keeps its row, in a stage of that name.
LEFT_BY_EXECUTION = """
SELECT 1 FROM model_version_tags JOIN model_versions USING (workspace, name, version)
WHERE value = ? AND key IN (?, ?) AND current_stage <> 'Deleted_Internal'"""
REFUSALS = (400, 401, 403, 404)  # the server understood and said no: the same request would fail again

# MLflow reads these from the environment only; what a user has set there stands. No telemetry, no line on stdout, which
# belongs to the stage, and 14 s of retries instead of 4 minutes: the orchestrator tries again too.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}


def registry_exists(tracking_uri: str) -> bool:
    """Whether a registry can be behind `tracking_uri`: a server is believed, a database file must be there."""
    if tracking_uri.startswith(SQLITE):
        return _database_file(tracking_uri).is_file()
    return tracking_uri.startswith(("http://", "https://"))


def stands_in_registry(tracking_uri: str, key: str) -> bool:
    """Whether the registry still holds what the execution `key` registered or promoted; a server is believed.

    Asks the database itself, as loading mlflow takes longer than a whole pipeline that has nothing to do. Where the
    question cannot be answered the answer is no: the stage then runs again, finds its version and changes nothing.
    """
    if not tracking_uri.startswith(SQLITE) or not registry_exists(tracking_uri):
        return registry_exists(tracking_uri)
    try:
        with closing(sqlite3.connect(f"{_database_file(tracking_uri).as_uri()}?mode=ro", uri=True)) as database:
            return bool(database.execute(LEFT_BY_EXECUTION, (key, KEY_TAG, PROMOTION_KEY_TAG)).fetchone())
    except sqlite3.Error:
        return False


def _database_file(tracking_uri: str) -> Path:
    return Path(tracking_uri.removeprefix(SQLITE).split("?")[0]).absolute()


def metric_name(metric: str, model: str, slice_name: str) -> str:
    """The MLflow name of one row of `evaluation`, such as `tuned/held_out_loss` or `tuned/held_out_loss/alpaca`."""
    name = "/".join([model, metric] + [slice_name] * (slice_name != "all"))
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)


def open_client(tracking_uri: str) -> "MlflowClient":
    """A client of the tracking server and registry at `tracking_uri`; makes the database of a new sqlite address.

    Also sets MLflow's process-wide address: its SQL registry looks up logged models there, whatever its client says.
    Raises ConfigError for an empty address and ServiceUnavailable for a database that cannot be opened.
    """
    if not tracking_uri:
        raise ConfigError(
            "no MLflow address is set, and this stage registers models; set MLFLOW_TRACKING_URI, for example to sqlite:////<folder>/mlflow.db"
        )
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # The warnings are deprecations inside MLflow and SQLAlchemy, which nobody here can mend.
    with warnings.catch_warnings(action="ignore"), registry_calls(tracking_uri):
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        with environment({"MLFLOW_TRACKING_URI": tracking_uri}):  # MLflow would leave it set for the next stage
            mlflow.set_tracking_uri(tracking_uri)
        return mlflow.MlflowClient(tracking_uri=tracking_uri)


@contextmanager
def registry_calls(tracking_uri: str) -> Iterator[None]:
    """Turns MLflow's errors into ours: ConfigError for a request it refuses, ServiceUnavailable for the rest."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        text = str(error).split("\n")[0]
        if isinstance(error, MlflowException) and is_refusal(error):
            raise ConfigError(
                f"MLflow at {tracking_uri} refuses the request: {text}; correct the name or value"
            ) from error
        raise ServiceUnavailable(f"MLflow at {tracking_uri} does not answer: {text}; start it and run again") from error


def is_refusal(error: "MlflowException") -> bool:
    """Whether the same request would fail again."""
    return bool(error.get_http_status_code() in REFUSALS)


def ensure_experiment(client: "MlflowClient", tracking_uri: str, name: str) -> str:
    """The id of the experiment; a new one on sqlite keeps its artifacts in `mlartifacts` beside the database."""
    from mlflow.exceptions import MlflowException

    place = (_database_file(tracking_uri).parent / "mlartifacts").as_uri() if tracking_uri.startswith(SQLITE) else None
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:  # another process may have made it in the meantime
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        raise


def ensure_run(client: "MlflowClient", experiment_id: str, run_name: str, key: str) -> "Run":
    """The run of the execution `key`: the one an earlier attempt left, open again, or a new one."""
    earlier = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", order_by=["attributes.start_time ASC"])
    if not earlier:
        return client.create_run(experiment_id, run_name=run_name, tags={KEY_TAG: key})
    client.update_run(earlier[0].info.run_id, status="RUNNING")
    return earlier[0]


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables that MLflow reads at each request, and puts the old ones back."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
