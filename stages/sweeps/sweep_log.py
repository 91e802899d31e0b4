"""A sweep in MLflow: a parent run for each experiment, a child run for each of its trials."""

import logging

from stages.store.storage import digest_of
from stages.sweeps.sweep import Planned
from stages.sweeps.sweep_results import Result
from stages.tracking import ensure_experiment, ensure_run, open_client

EXPERIMENT = "sweeps"
PARENT = "mlflow.parentRunId"  # the tag by which MLflow's pages nest runs

logger = logging.getLogger(__name__)


def log_sweep(tracking_uri: str, planned: Planned, results: list[Result]) -> None:
    """Logs what was found; a second time, it finds the runs and changes nothing. Warns where MLflow does not take it."""
    try:
        _log(tracking_uri, planned, results)
    except Exception as error:  # noqa: BLE001 - whatever MLflow or its libraries raise, the comparison stands
        logger.warning("the sweep was not logged to MLflow at %s: %s", tracking_uri, str(error).split("\n")[0])


def _log(tracking_uri: str, planned: Planned, results: list[Result]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client = open_client(tracking_uri)
    home = ensure_experiment(client, tracking_uri, EXPERIMENT)
    sweep = planned.folder.name
    for result in results:
        identity = digest_of([sweep, result.title])
        parent = ensure_run(client, home, f"{sweep}/{result.title}", identity).info.run_id
        said = {"question": result.experiment.question, "reading": result.reading[:500]}
        client.log_batch(parent, tags=[RunTag(name, text) for name, text in said.items()])
        for found in result.found:
            child = ensure_run(client, home, found.name, digest_of([identity, found.trial]))
            known = {*child.data.metrics, *child.data.params}
            params = [Param(name, str(value)) for name, value in found.varied.items() if name not in known]
            metrics = [Metric(name, value, 0, 0) for name, value in found.metrics.items() if name not in known]
            curve = [Metric("loss", loss, 0, step) for step, (_, loss) in enumerate(found.log, start=1)]
            tags = [RunTag(PARENT, parent), RunTag("temper.trial", found.trial)]
            client.log_batch(child.info.run_id, metrics + (curve if "loss" not in known else []), params, tags)
            client.set_terminated(child.info.run_id)
        if (page := planned.folder / "sweep.html").is_file():
            client.log_artifact(parent, str(page))
        client.set_terminated(
            parent, "FINISHED" if len(result.found) == len(planned.experiments[result.title]) else "FAILED"
        )
