"""`make up` and `make down` for real: Airflow with its scheduler, a scheduled run, an asset-triggered run, and silence after."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.airflow_environment import AIRFLOW
from line import ROOT, FinishedLine

pytestmark = [pytest.mark.slow, pytest.mark.e2e(minutes=4), pytest.mark.timeout(3600)]
if not AIRFLOW.exists():
    pytestmark.append(pytest.mark.skip(reason="needs the orchestrator's environment: make setup"))

WAIT_SECONDS = 900  # beside other tests on a busy machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(check: object, what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what} did not come within {WAIT_SECONDS} s"
        time.sleep(2)


def marked_processes(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture
def servers(line: FinishedLine, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What `make up` started, on ports and folders of its own; `make down` at the end."""
    profile = tmp_path / "profile.yaml"
    profile.write_text(
        line.profile.read_text().replace(str(line.raw), str(shutil.copytree(line.raw, tmp_path / "raw")))
    )
    environment = {
        **os.environ,
        "TEMPER_STORE": str(tmp_path / "store"),
        "TEMPER_AIRFLOW_STATE": str(tmp_path / "airflow"),
        "TEMPER_PROFILE": str(profile),
        "TEMPER_AIRFLOW_PORT": str(free_port()),
        "TEMPER_MLFLOW_PORT": str(free_port()),
        "TEMPER_CURATE_SCHEDULE": "* * * * *",
        "TEMPER_TUNE_SCHEDULE": "0 0 1 1 *",
    }
    told = local("up", environment)
    try:
        assert told.returncode == 0, told.stdout + told.stderr
        assert "login: admin / " in told.stdout
        yield environment
    finally:
        stopped = local("down", environment)
    assert "stopped" in stopped.stdout
    assert marked_processes(f"TEMPER_STARTED_BY={environment['TEMPER_AIRFLOW_STATE']}") == []
    assert not any(answers(int(environment[f"TEMPER_{server}_PORT"])) for server in ("AIRFLOW", "MLFLOW"))


def local(verb: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.local", verb]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def published_version(store: Path) -> str | None:
    ref = store / "refs" / "dataset.json"
    return str(json.loads(ref.read_text())["version"]) if ref.exists() else None


def is_told(environment: dict[str, str], *, curate_is_paused: bool) -> bool:
    """Whether Airflow took note of it; a busy SQLite may refuse."""
    passwords = Path(environment["TEMPER_AIRFLOW_STATE"]) / "passwords.json"
    login = {"username": "admin", "password": json.loads(passwords.read_text())["admin"]}
    try:
        token = answer_of(environment, "POST", "auth/token", login)["access_token"]
        answer_of(
            environment, "PATCH", "api/v2/dags/curate", {"is_paused": curate_is_paused}, Authorization=f"Bearer {token}"
        )
    except OSError:
        return False
    return True


def answer_of(environment: dict[str, str], method: str, path: str, body: object, **headers: str) -> dict[str, str]:
    url = f"http://127.0.0.1:{environment['TEMPER_AIRFLOW_PORT']}/{path}"
    asked = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method=method
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return dict(json.load(answer))


def digests(store: Path) -> dict[str, str]:
    """Stage/dataset -> digest of everything in a store."""
    found = {}
    for receipt in store.glob("results/*/*/receipt.json"):
        stated = json.loads(receipt.read_text())
        found |= {f"{stated['stage']}/{name}": facts["digest"] for name, facts in stated["outputs"].items()}
    return found


def test_curate_runs_on_schedule_and_wakes_tune_and_new_files_are_picked_up(
    line: FinishedLine, servers: dict[str, str], tmp_path: Path
) -> None:
    store = Path(servers["TEMPER_STORE"])
    for port in ("TEMPER_AIRFLOW_PORT", "TEMPER_MLFLOW_PORT"):
        with urllib.request.urlopen(f"http://127.0.0.1:{servers[port]}/", timeout=20) as page:
            assert page.status == 200
    wait_for(lambda: published_version(store), "a data set from a scheduled run of curate")
    # Its next runs, one a minute, would find everything done and take half of the time from what is waited for.
    wait_for(lambda: is_told(servers, curate_is_paused=True), "curate's rest")
    wait_for(lambda: list(store.glob("runs/tune-*/report.json")), "the run of tune that the data set's asset triggers")
    assert digests(store) == digests(line.store), "Airflow makes what the pipeline alone makes"
    logs = Path(servers["TEMPER_AIRFLOW_STATE"], "logs").glob("dag_id=curate/*/task_id=ingest/*.log")
    assert any("ingest: conversations" in log.read_text() for log in logs), "a task's log holds what its stage says"
    before, new = published_version(store), tmp_path / "raw" / "late" / "more.jsonl"
    new.parent.mkdir()
    row = {"instruction": "What came late?", "input": "", "output": "This file came late."}
    new.write_text(json.dumps(row) + "\n")
    wait_for(lambda: is_told(servers, curate_is_paused=False), "curate's waking")
    wait_for(lambda: published_version(store) != before, "a data set with the new file")
