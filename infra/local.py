"""`make up` and `make down`: Airflow and MLflow on this machine, in the background, bound to loopback."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from infra.airflow_environment import AIRFLOW, ROOT, airflow_environment
from stages.errors import Interrupted
from stages.store.storage import setting, tracking_uri

STORE = ROOT / setting("STORE", "work/store")
STATE = ROOT / setting("AIRFLOW_STATE", "work/airflow")
AIRFLOW_PORT = int(setting("AIRFLOW_PORT", "8080"))
MLFLOW_PORT = int(setting("MLFLOW_PORT", "5000"))
START_SECONDS, STOP_SECONDS = 600, 25
STAGES_ARE_LOGGED = "airflow.task.operators=INFO"  # what a stage says stands in the log of its task
MARK = "TEMPER_STARTED_BY"  # in the environment of everything that `up` starts, so that `down` finds all of it
SESSIONS = STATE / "sessions"  # ids of the sessions started: a server that renames itself wipes its environment out


def up() -> int:
    """Starts both servers, waits until they answer, and prints where they are and how to log in."""
    if running := list(_started_processes()):
        print(f"already up ({len(running)} processes); stop it with: make down")
        return 0
    STORE.mkdir(parents=True, exist_ok=True)
    environment = airflow_environment(STATE, port=AIRFLOW_PORT) | {MARK: str(STATE), "TEMPER_STORE": str(STORE)}
    environment["AIRFLOW__LOGGING__NAMESPACE_LEVELS"] = STAGES_ARE_LOGGED
    airflow = _start([str(AIRFLOW), "standalone"], environment, "airflow")
    mlflow = _start(_mlflow_command(), environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, "mlflow")
    for name, server, url in (
        ("Airflow", airflow, f"{_airflow_url()}/api/v2/monitor/health"),
        ("MLflow", mlflow, f"{_mlflow_url()}/health"),
    ):
        if not _answers(url, server):
            ended = server.poll() is not None
            found = "ended before it answered" if ended else f"did not answer within {START_SECONDS} s"
            print(f"{name} at {url} {found}; look into {STATE / 'logs'}, and start again: make up", file=sys.stderr)
            down()
            return 69
    _tell()
    return 0


def _mlflow_command() -> list[str]:
    store = ["--backend-store-uri", tracking_uri(STORE), "--artifacts-destination", str(STORE / "mlartifacts")]
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(MLFLOW_PORT),
        "--workers",
        "1",
        *store,
    ]


def _start(command: list[str], environment: dict[str, str], name: str) -> subprocess.Popen[bytes]:
    logs = STATE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"starting {name} …", flush=True)
    with (logs / f"{name}.log").open("w") as log:
        leader = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                  start_new_session=True)  # fmt: skip
    with SESSIONS.open("a") as file:
        file.write(f"{leader.pid}\n")
    return leader


def _answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    return False


def _tell() -> None:
    passwords = STATE / "passwords.json"
    login = json.loads(passwords.read_text()) if passwords.exists() else {}
    print(
        f"\nAirflow  {_airflow_url()}   login: " + ", ".join(f"{user} / {password}" for user, password in login.items())
    )
    print(f"MLflow   {_mlflow_url()}")
    print(
        f"profile  {setting('PROFILE', 'demo')}; curate runs {setting('CURATE_SCHEDULE', '@daily')}, tune when a data set is published"
    )
    print(
        f"logs     {STATE / 'logs'}\n\nnext: put raw files into the profile's source folder and trigger curate, or wait; stop with: make down"
    )


def _airflow_url() -> str:
    return f"http://127.0.0.1:{AIRFLOW_PORT}"


def _mlflow_url() -> str:
    return f"http://127.0.0.1:{MLFLOW_PORT}"


def down() -> int:
    """Stops everything that `up` started, stages included; returns 0 when no process is left."""
    before = list(_started_processes())
    _signal(before, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while list(_started_processes()) and time.monotonic() < end:
        time.sleep(0.5)
    while left := list(_started_processes()):
        _signal(left, signal.SIGKILL)
        time.sleep(0.2)
    SESSIONS.unlink(missing_ok=True)
    print(f"stopped {len(before)} processes" if before else "nothing was running")
    return 0


def _started_processes() -> Iterator[int]:
    """Processes with our mark in their environment, whatever their group, and those of the sessions that we started."""
    mark = f"{MARK}={STATE}".encode()
    sessions = {int(line) for line in SESSIONS.read_text().split()} if SESSIONS.exists() else set()
    for folder in Path("/proc").glob("[0-9]*"):
        process = int(folder.name)
        try:
            carries_mark = mark in (folder / "environ").read_bytes().split(b"\0")  # of a zombie, nothing can be read
            # A number may have been given to a stranger's session since: ours work in this folder.
            in_session = os.getsid(process) in sessions and (folder / "cwd").readlink().is_relative_to(ROOT)
        except OSError:
            continue  # it ended while we looked, or belongs to somebody else
        if (carries_mark or in_session) and process != os.getpid():
            yield process


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    try:
        sys.exit({"up": up, "down": down}[sys.argv[1]]())
    except KeyboardInterrupt:
        print("interrupted; what was started goes on, and `make down` stops it", file=sys.stderr)
        sys.exit(Interrupted.exit_code)
