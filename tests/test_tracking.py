"""Given runs, retries and servers that are away -> what MLflow holds afterwards, and that nothing was raised."""

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from stages import tracking
from stages.errors import ConfigError, ServiceUnavailable
from stages.run_log import run_log
from stages.tracking import metric_name, open_client, registry_exists, stands_in_registry

pytest_plugins = ["mlflow_database"]

EXPERIMENT = "temper"


def logged(tracking_uri: str, key: str) -> dict[str, object]:
    """Status, parameters, tags and metric histories of the one run of an execution."""
    client = open_client(tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], f"tags.`temper.key` = '{key}'")
    return {
        "status": run.info.status,
        "params": run.data.params,
        "tags": {name: value for name, value in run.data.tags.items() if not name.startswith(("mlflow.", "temper."))},
        "metrics": {
            name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        },
    }


@pytest.mark.slow
def test_a_run_holds_what_was_logged(database: str) -> None:
    with run_log(database, EXPERIMENT, "train", {"lr": 0.001, "method": "full"}, key="a") as log:
        log.metrics(1, {"loss": 2.5, "grad_norm": 1.0})
        log.metrics(2, {"loss": 2.25})
        log.tags({"git_commit": "abc"})

    assert logged(database, "a") == {
        "status": "FINISHED",
        "params": {"lr": "0.001", "method": "full"},
        "tags": {"git_commit": "abc"},
        "metrics": {"loss": [(1, 2.5), (2, 2.25)], "grad_norm": [(1, 1.0)]},
    }


@pytest.mark.slow
def test_a_retry_goes_on_with_the_run_of_the_failed_attempt_and_repeats_no_step(database: str) -> None:
    with suppress(ZeroDivisionError), run_log(database, EXPERIMENT, "train", {"lr": 1}, key="retried") as log:
        log.metrics(1, {"loss": 3.0})
        log.metrics(2, {"loss": 2.0})
        raise ZeroDivisionError
    assert logged(database, "retried")["status"] == "FAILED"

    with run_log(database, EXPERIMENT, "train", {"lr": 1}, key="retried") as log:
        for step, loss in [(1, 3.0), (2, 2.0), (3, 1.0)]:
            log.metrics(step, {"loss": loss})

    run = logged(database, "retried")
    assert run["status"] == "FINISHED"
    assert run["metrics"] == {"loss": [(1, 3.0), (2, 2.0), (3, 1.0)]}


@pytest.mark.slow
def test_what_mlflow_refuses_is_left_out_and_the_rest_is_logged(
    database: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with run_log(database, EXPERIMENT, "train", {"lr": 1, "bad*name": 2, "long": "x" * 9000}, key="partly") as log:
        log.metrics(1, {"loss": 1.0, "no*good": 2.0, "grad_norm": float("nan")})

    run = logged(database, "partly")
    assert isinstance(run["params"], dict)
    assert isinstance(run["metrics"], dict)
    assert sorted(run["params"]) == ["long", "lr"]
    assert len(run["params"]["long"]) <= 500
    assert "sha256:" in run["params"]["long"]
    assert sorted(run["metrics"]) == ["grad_norm", "loss"]
    warned = [record for record in caplog.records if record.name == "stages.run_log"]
    assert len(warned) == 1


@pytest.mark.slow
def test_values_wait_while_the_server_is_away(
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("stages.run_log.SEND_SECONDS", 0.0)
    with run_log(database, EXPERIMENT, "train", {}, key="away") as log:
        log.metrics(1, {"loss": 1.0})
        with monkeypatch.context() as away:
            away.setattr("mlflow.MlflowClient.log_batch", raise_connection_error)
            log.metrics(2, {"loss": 0.5})
            log.metrics(3, {"loss": 0.25})
        log.metrics(4, {"loss": 0.125})

    assert logged(database, "away")["metrics"] == {"loss": [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.125)]}
    assert [r.levelno for r in caplog.records if r.name == "stages.run_log"] == [logging.WARNING]


def raise_connection_error(*_: object, **__: object) -> None:
    raise ConnectionError("the server went away")


@pytest.mark.slow
def test_a_server_that_never_answers_is_warned_about_once_and_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with run_log("http://127.0.0.1:9", EXPERIMENT, "train", {"lr": 1}) as log:
        for step in range(100):
            log.metrics(step, {"loss": 1.0})

    messages = [record.getMessage() for record in caplog.records if record.name == "stages.run_log"]
    assert len(messages) == 2
    assert "work goes on without" in messages[0]
    assert messages[1] == "100 metric values were not logged to MLflow"


def test_an_empty_address_turns_logging_off() -> None:
    with run_log("", EXPERIMENT, "train", {"lr": 1}) as log:
        log.metrics(1, {"loss": 1.0})
        log.tags({"a": "b"})


@pytest.mark.slow
def test_a_client_leaves_the_address_of_the_next_stage_alone(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    open_client(database)

    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.slow
def test_artifacts_of_an_sqlite_registry_lie_beside_it(database: str) -> None:
    client = open_client(database)
    experiment = client.get_experiment(tracking.ensure_experiment(client, database, EXPERIMENT))

    folder = Path(database.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert experiment.artifact_location == folder.as_uri()


@pytest.mark.slow
def test_mlflows_errors_become_ours(database: str) -> None:
    client = open_client(database)
    with pytest.raises(ConfigError, match="refuses the request"), tracking.registry_calls(database):
        client.create_registered_model("a/b")
    with pytest.raises(ServiceUnavailable, match="does not answer"), tracking.registry_calls(database):
        raise ConnectionError("connection refused")
    with pytest.raises(ConfigError, match="no MLflow address"):
        open_client("")


@pytest.mark.parametrize(
    ("tracking_uri", "exists"),
    [("", False), ("http://mlflow:5000", True), ("https://mlflow", True), ("file:///somewhere", False)],
)
def test_a_registry_exists_where_a_server_is_named(tracking_uri: str, exists: bool) -> None:
    assert registry_exists(tracking_uri) is exists


def test_a_registry_on_sqlite_exists_with_its_file(tmp_path: Path) -> None:
    tracking_uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert not registry_exists(tracking_uri)
    (tmp_path / "mlflow.db").touch()
    assert registry_exists(tracking_uri)
    assert registry_exists(tracking_uri + "?timeout=10")


@pytest.mark.slow
def test_what_an_execution_registered_stands_until_it_is_deleted(database: str, tmp_path: Path) -> None:
    assert not stands_in_registry(database, "k1")
    client = open_client(database)
    client.create_registered_model("temper")
    client.create_model_version("temper", str(tmp_path), tags={"temper.key": "k1"})
    client.set_model_version_tag("temper", "1", tracking.PROMOTION_KEY_TAG, "k2")

    assert [stands_in_registry(database, key) for key in ("k1", "k2", "k3")] == [True, True, False]
    client.delete_model_version("temper", "1")
    assert not stands_in_registry(database, "k1")


def test_a_server_is_believed_and_a_file_that_is_no_registry_is_not(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database")

    assert stands_in_registry("http://mlflow:5000", "k1")
    assert not stands_in_registry(f"sqlite:///{tmp_path}/mlflow.db", "k1")
    assert not stands_in_registry(f"sqlite:///{tmp_path}/missing.db", "k1")
    assert not stands_in_registry("", "k1")


def test_importing_tracking_does_not_load_mlflow() -> None:
    code = "import sys, stages.run_log, stages.tracking as t; t.registry_exists('sqlite:///x'); sys.exit('mlflow' in sys.modules)"
    root = Path(tracking.__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (("held_out_loss", "tuned", "all"), "tuned/held_out_loss"),
        (("held_out_loss", "base", "alpaca"), "base/held_out_loss/alpaca"),
        (("held_out_loss", "tuned", "my*set"), "tuned/held_out_loss/my_set"),
    ],
)
def test_a_metric_name_is_one_that_mlflow_takes(row: tuple[str, str, str], name: str) -> None:
    assert metric_name(*row) == name
