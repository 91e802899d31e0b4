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

pytestmark = [pytest.mark.slow, pytest.mark.e2e(minutes=4), pytest.mark.timeout(1500)]
if not AIRFLOW.exists():
    pytestmark.append(pytest.mark.skip(reason="needs the orchestrator's environment: make setup"))

WAIT_SECONDS = 600  # beside other tests on a busy machine


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


def published_version(store: Path) -> str:
    return str(json.loads((store / "refs" / "dataset.json").read_text())["version"])


def test_curate_runs_on_schedule_and_wakes_tune_and_new_files_are_picked_up(
    servers: dict[str, str], tmp_path: Path
) -> None:
    store = Path(servers["TEMPER_STORE"])
    for port in ("TEMPER_AIRFLOW_PORT", "TEMPER_MLFLOW_PORT"):
        with urllib.request.urlopen(f"http://127.0.0.1:{servers[port]}/", timeout=20) as page:
            assert page.status == 200
    wait_for(lambda: finished_runs(store, "curate", "tokenize"), "a scheduled run of curate")
    wait_for(lambda: finished_runs(store, "tune", "report"), "the run of tune that the data set's asset triggers")
    before, new = published_version(store), tmp_path / "raw" / "late" / "more.jsonl"
    new.parent.mkdir()
    row = {"instruction": "What came late?", "input": "", "output": "This file came late."}
    new.write_text(json.dumps(row) + "\n")
    wait_for(lambda: published_version(store) != before, "a data set with the new file")
