"""A log of numbers in one MLflow run that never stops what it logs.

Importing this module does not load mlflow (4 s); logging to an address does.
"""

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stages.tracking import ensure_experiment, ensure_run, environment, is_refusal, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHOWN_CHARS = 500  # longest value of a parameter or tag; MLflow allows 6000, some servers 250 to 500
BATCH_METRICS = 1000  # MLflow's limit for one request
SEND_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
MAX_WAITING = 100_000  # metric values kept while the server is away
# Retries of up to 120 s each would hold a training step for minutes.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}

logger = logging.getLogger(__name__)


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
            with environment(IMPATIENT):
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
            if not is_refusal(error):
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
