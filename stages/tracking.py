"""Everything MLflow that more than one stage needs: a quiet client, and run logs that never stop what they log.

Importing this module does not load mlflow (4 s); calling it does.
"""

import hashlib
import logging
import os
import sqlite3
import time
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
SHOWN_CHARS = 500  # longest value of a parameter or tag; MLflow allows 6000, some servers 250 to 500
BATCH_METRICS = 1000  # MLflow's limit for one request
REFUSALS = (400, 401, 403, 404)  # the server understood and said no: the same request would fail again
SEND_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
MAX_WAITING = 100_000  # metric values kept while the server is away

# MLflow reads these from the environment only; what a user has set there stands. No telemetry, no line on stdout, which
# belongs to the stage, and 14 s of retries instead of 4 minutes: the orchestrator tries again too.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}
# Retries of up to 120 s each would hold a training step for minutes.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}

logger = logging.getLogger(__name__)


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
        with _environment({"MLFLOW_TRACKING_URI": tracking_uri}):  # MLflow would leave it set for the next stage
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
        if isinstance(error, MlflowException) and _is_refusal(error):
            raise ConfigError(
                f"MLflow at {tracking_uri} refuses the request: {text}; correct the name or value"
            ) from error
        raise ServiceUnavailable(f"MLflow at {tracking_uri} does not answer: {text}; start it and run again") from error


def _is_refusal(error: "MlflowException") -> bool:
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
def run_log(
    tracking_uri: str, experiment: str, run_name: str, params: Mapping[str, object], *, key: str = ""
) -> Iterator["RunLog"]:
    """A run to log into; an empty `tracking_uri` turns logging off. Ends the run as finished, or failed on an error.

    `key` is the execution (`workbench.key`): a retry with the same key goes on with the same run. Without one the run
    name stands in for it. Nothing that goes wrong with logging ever raises: it is warned about once, values wait while
    the server is away, and what it refuses is left out.
    """
    log = RunLog(tracking_uri, experiment, run_name, params, key or run_name)
    status = "FAILED"
    try:
        yield log
        status = "FINISHED"
    finally:
        log.close(status)


class RunLog:
    """Values on their way to one MLflow run, sent every few seconds. Made by `run_log`."""

    def __init__(
        self, tracking_uri: str, experiment: str, run_name: str, params: Mapping[str, object], key: str
    ) -> None:
        self._address = (tracking_uri, experiment, run_name, key)
        self._params = {name: _shorten(value) for name, value in params.items()}
        self._tags: dict[str, str] = {}
        self._texts: dict[str, str] = {}  # artifact -> content
        self._metrics: list[tuple[str, float, int, int]] = []  # name, value, milliseconds since 1970, step
        self._client: MlflowClient | None = None
        self._run_id = ""
        self._already: dict[str, int] = {}  # metric -> last step that an earlier attempt logged
        self._pause = SEND_SECONDS
        self._next_send = 0.0
        self._warned = False
        self._send()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Logs values of one step.

        A step that an earlier attempt of the same execution logged is passed over, so a resumed job may log its whole
        history again.
        """
        now = int(time.time() * 1000)
        self._metrics += [(name, float(value), now, step) for name, value in values.items()]
        del self._metrics[:-MAX_WAITING]
        if time.monotonic() >= self._next_send:
            self._send()

    def tags(self, values: Mapping[str, object]) -> None:
        """Sets tags on the run with the next values."""
        self._tags |= {name: _shorten(value) for name, value in values.items()}

    def text(self, name: str, content: str) -> None:
        """Adds an artifact with the next values."""
        self._texts[name] = content

    def close(self, status: str) -> None:
        """Sends what waits and ends the run as FINISHED or FAILED."""
        self._send(status)
        if self._metrics:
            logger.warning("%d metric values were not logged to MLflow", len(self._metrics))

    def _send(self, status: str | None = None) -> None:
        if not self._address[0]:
            self._metrics.clear()
            return
        try:
            with _environment(IMPATIENT):
                self._send_all()
                if status and self._client:
                    self._client.set_terminated(self._run_id, status)
                while self._texts and self._client:  # last, as artifacts may lie where numbers do not
                    name = next(iter(self._texts))
                    self._client.log_text(self._run_id, self._texts.pop(name), name)
            self._pause = SEND_SECONDS
        except Exception as error:  # noqa: BLE001 - whatever MLflow or its libraries raise, training goes on
            self._warn(error)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self._next_send = time.monotonic() + self._pause

    def _send_all(self) -> None:
        from mlflow.entities import Metric, Param, RunTag

        if not self._run_id:
            self._open()
        self._log("params", [Param(*item) for item in self._params.items()])
        self._params.clear()
        self._log("tags", [RunTag(*item) for item in self._tags.items()])
        self._tags.clear()
        self._metrics = [m for m in self._metrics if m[3] > self._already.get(m[0], -1)]
        while self._metrics:
            self._log("metrics", [Metric(*metric) for metric in self._metrics[:BATCH_METRICS]])
            del self._metrics[:BATCH_METRICS]

    def _open(self) -> None:
        uri, experiment, run_name, key = self._address
        self._client = open_client(uri)
        run = ensure_run(self._client, ensure_experiment(self._client, uri, experiment), run_name, key)
        self._already = {
            name: max(metric.step for metric in self._client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics
        }
        self._params = {name: value for name, value in self._params.items() if name not in run.data.params}
        self._run_id = run.info.run_id

    def _log(self, kind: str, items: list[Any]) -> None:
        """One request; when the server refuses it, each item alone. Raises when the server could not be asked."""
        from mlflow.exceptions import MlflowException

        if not items or self._client is None:
            return
        try:
            self._client.log_batch(self._run_id, **{kind: items}, synchronous=True)
        except MlflowException as error:
            if not _is_refusal(error):
                raise
            self._warn(error)
            for item in items if len(items) > 1 else ():
                self._log(kind, [item])

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            text = str(error).split("\n")[0]
            logger.warning("logging to MLflow at %s fails, and work goes on without: %s", self._address[0], text)
        self._warned = True


def _shorten(value: object) -> str:
    """The text of a value, cut where MLflow would refuse it; the digest of the whole tells two long ones apart."""
    text = str(value)
    if len(text) <= SHOWN_CHARS:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{text[: SHOWN_CHARS - 32]}… sha256:{digest[:16]}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables that MLflow reads at each request, and puts the old ones back."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
