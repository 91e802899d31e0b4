"""`make up` and `make down` for real: Airflow with its scheduler, a scheduled run, an asset-triggered run, and silence after."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from infra.airflow_environment import AIRFLOW
from line import ROOT, FinishedLine

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
if not AIRFLOW.exists():
    pytestmark.append(pytest.mark.skip(reason="needs the orchestrator's environment: make setup"))

WAIT_SECONDS = 300


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(check: object, what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what} did not come within {WAIT_SECONDS} s"
        time.sleep(2)


def finished_runs(store: Path, pipeline: str, last_stage: str) -> list[Path]:
    return sorted(store.glob(f"runs/{pipeline}-*/{last_stage}.json"))


def marked_processes(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_scheduled_curate_wakes_tune_new_files_are_picked_up_and_down_leaves_nothing(line: FinishedLine, tmp_path: Path) -> None:
    store, state = tmp_path / "store", tmp_path / "airflow"
    environment = {
        **os.environ, "TEMPER_STORE": str(store), "TEMPER_AIRFLOW_STATE": str(state), "TEMPER_PROFILE": str(line.profile),
        "TEMPER_AIRFLOW_PORT": str(free_port()), "TEMPER_MLFLOW_PORT": str(free_port()),
        "TEMPER_CURATE_SCHEDULE": "* * * * *", "TEMPER_TUNE_SCHEDULE": "0 0 1 1 *",
    }  # fmt: skip
    try:
        told = subprocess.run([sys.executable, "-m", "infra.local", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        assert "login: admin / " in told.stdout
        for port in ("TEMPER_AIRFLOW_PORT", "TEMPER_MLFLOW_PORT"):
            with urllib.request.urlopen(f"http://127.0.0.1:{environment[port]}/", timeout=20) as page:
                assert page.status == 200
        wait_for(lambda: finished_runs(store, "curate", "tokenize"), "a scheduled run of curate")
        wait_for(lambda: finished_runs(store, "tune", "report"), "the run of tune that the data set's asset triggers")
        before = json.loads((store / "refs" / "dataset.json").read_text())["version"]
        new = line.raw / "late" / "more.jsonl"
        new.parent.mkdir()
        new.write_text(json.dumps({"instruction": "What came late?", "input": "", "output": "This file came late."}) + "\n")
        wait_for(lambda: json.loads((store / "refs" / "dataset.json").read_text())["version"] != before, "a data set with the new file")
    finally:
        (line.raw / "late" / "more.jsonl").unlink(missing_ok=True)
        stopped = subprocess.run([sys.executable, "-m", "infra.local", "down"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "stopped" in stopped.stdout
    assert marked_processes(f"TEMPER_STARTED_BY={state}") == []
