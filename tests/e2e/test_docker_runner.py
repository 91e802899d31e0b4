"""A task of a real DAG in a real container: what the container may do, what the run notes, and which failures are final."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.airflow_environment import AIRFLOW, AIRFLOW_PYTHON, airflow_environment
from infra.container_engine import Engine
from line import ROOT, write_source
from real_engine import CONTAINER_SECONDS
from stages.contract import Stage
from stages.pipeline import STAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e(minutes=5),
    pytest.mark.xdist_group("containers"),
    pytest.mark.timeout(CONTAINER_SECONDS),
]
if not AIRFLOW_PYTHON.exists():
    pytestmark.append(pytest.mark.skip(reason="needs the orchestrator's environment: make setup"))

CONTAINER_USER = 10001
SOCKET_SECONDS = 20
RUN_ID, RUN_NAME = "manual__2026-01-01T00:00:00+00:00", "curate-manual-2026-01-01T00-00-00-00-00"

# Airflow marks every other task done and runs dedup; the containers are looked at before they are removed.
RUN_DEDUP = """
import json
from datetime import datetime, timezone
import docker
import curate
seen, remove = [], docker.APIClient.remove_container
def look_and_remove(client, container, **options):
    seen.append(client.inspect_container(container))
    return remove(client, container, **options)
docker.APIClient.remove_container = look_and_remove
day = datetime(2026, 1, 1, tzinfo=timezone.utc)
run = curate.dag.test(run_after=day, logical_date=day, mark_success_pattern="(?!dedup$).*")
states = {task.task_id: str(task.state) for task in run.get_task_instances()}
print("\\n" + json.dumps({"run_id": run.run_id, "dedup": states["dedup"], "containers": seen}))
"""

# The task is killed while its container is made.
KILLED = """
import os, signal
import docker
import curate
curate.dag.get_task("dedup").retries, make = 0, docker.APIClient.create_container
def make_and_be_killed(client, *arguments, **options):
    made = make(client, *arguments, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    return made
docker.APIClient.create_container = make_and_be_killed
"""


@dataclass(frozen=True)
class Place:
    """A store in which `ingest` of the run is done, and the environment of the Airflow that runs the rest."""

    store: Path
    environment: dict[str, str]

    @property
    def run(self) -> Path:
        return self.store / "runs" / RUN_NAME

    def run_dedup(self, before: str = "") -> dict[str, Any]:
        """The state of the task and the containers that Airflow made for it; `before` is code that runs first."""
        command = [AIRFLOW_PYTHON, "-c", before + RUN_DEDUP]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return {**json.loads(done.stdout.splitlines()[-1]), "log": done.stdout + done.stderr}


@pytest.fixture(scope="module")
def docker_host(
    engine: Engine, image_of: Callable[[Stage], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where Docker's API is spoken, with the image of dedup built: Docker's own, or podman's."""
    image_of(STAGES["dedup"])
    if engine.program == "docker":
        yield os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        return
    socket = tmp_path_factory.mktemp("engine") / "podman.sock"
    command = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
    with subprocess.Popen(command, env=engine.environment) as service:
        end = time.monotonic() + SOCKET_SECONDS
        while not socket.exists() and time.monotonic() < end:
            time.sleep(0.1)
        yield f"unix://{socket}"
        service.terminate()


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's folder with a fresh metadata database."""
    folder = tmp_path_factory.mktemp("airflow")
    subprocess.run([AIRFLOW, "db", "migrate"], env=airflow_environment(folder), check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the run is started and ingested in processes."""
    folder = tmp_path_factory.mktemp("ingested")
    write_source(folder / "raw")
    store = folder / "store"
    run_stages("start", "curate", "--store", store, "--run-name", RUN_NAME, "--source", f"raw={folder / 'raw'}",
               "--set", "tokenize.tokenizer=gpt2")  # fmt: skip
    run_stages("run", "ingest", "--run", store / "runs" / RUN_NAME)
    return store


@pytest.fixture
def place(docker_host: str, airflow_home: Path, ingested: Path, tmp_path: Path) -> Place:
    """A copy of the store that is given to the user of the container."""
    store = shutil.copytree(ingested, tmp_path / "store")
    if os.geteuid() == 0:
        for path in (store, *store.rglob("*")):
            shutil.chown(path, CONTAINER_USER, CONTAINER_USER)
    chosen = {"TEMPER_STORE": str(store), "TEMPER_RUNNER": "docker", "DOCKER_HOST": docker_host,
              "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dags")))}  # fmt: skip
    return Place(store, airflow_environment(airflow_home) | chosen)


def run_stages(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "stages", *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)


def test_a_task_in_a_container_finishes_its_part_of_the_run_and_could_do_nothing_else(place: Place) -> None:
    told = place.run_dedup()
    assert (told["run_id"], told["dedup"]) == (RUN_ID, "success"), told["log"][-3000:]
    note = json.loads((place.run / "dedup.json").read_text())
    receipt = json.loads((place.store / note["result"] / "receipt.json").read_text())
    assert note["outputs"].keys() == {"unique", "duplicates"}
    (container,) = told["containers"]
    assert receipt["image_digest"].removeprefix("sha256:") == container["Image"].removeprefix("sha256:")
    assert (place.store / note["result"]).stat().st_uid == (place.store).stat().st_uid
    assert_hardened(container, place.store)


def assert_hardened(container: dict[str, Any], store: Path) -> None:
    """What the engine itself says of a container that is gone."""
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["PidsLimit"] == 512
    assert "no-new-privileges" in host["SecurityOpt"]
    assert "ALL" in host["CapDrop"] or not container.get("EffectiveCaps")
    assert container["Config"]["User"] == f"{store.stat().st_uid}:{store.stat().st_gid}"
    writable = [mount["Destination"] for mount in container["Mounts"] if mount["RW"] and mount["Type"] == "bind"]
    assert writable == [str(store)]


def test_damaged_data_fails_the_task_for_good(place: Place) -> None:
    note = json.loads((place.run / "ingest.json").read_text())
    part = place.store / note["result"] / "conversations" / "part-00000.parquet"
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    part.write_bytes(damaged)
    told = place.run_dedup()
    assert told["dedup"] == "failed", "a retry cannot help, so there is none"
    assert told["containers"][0]["State"]["ExitCode"] == 65
    assert not (place.run / "dedup.json").exists()
    assert "a retry cannot help" in told["log"]


def test_a_task_that_is_killed_while_its_container_is_made_starts_none(place: Place) -> None:
    told = place.run_dedup(KILLED)
    (container,) = told["containers"]
    assert (told["dedup"], container["State"]["Status"]) == ("failed", "created"), told["log"][-3000:]
    assert not (place.run / "dedup.json").exists()


MOUNTS = """
import json, sys
from pathlib import Path
from docker_operator import mounts_of
from stages.pipeline import STAGES
def told(stage, plan, store):
    return [[mount["Source"], mount["Target"], mount["ReadOnly"] or False] for mount in mounts_of(STAGES[stage], plan, Path(store))]
print("\\n" + json.dumps([told(*case) for case in json.loads(sys.argv[1])]))
"""

SECRETS = """
import json
from docker_operator import secrets_of
print("\\n" + json.dumps([secrets_of(stage) for stage in ("rate", "train")]))
"""


def test_a_container_is_told_the_secrets_of_its_own_stage_alone(tmp_path: Path) -> None:
    environment = airflow_environment(tmp_path) | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dags")))}
    environment |= {"TEMPER_JUDGE_API_KEY": "sk-1"}
    done = subprocess.run([AIRFLOW_PYTHON, "-c", SECRETS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [{"TEMPER_JUDGE_API_KEY": "sk-1"}, {}]


# stage, sources of the plan, parameters, what is mounted read-only: path here and in the container
READ = [
    ("dedup", {"raw": ["/data/raw"]}, {}, []),
    (
        "ingest",
        {"raw": ["/data/one", "/data/two"], "evals": ["/data/quiz"]},
        {},
        [["/data/one"] * 2, ["/data/two"] * 2],
    ),
    ("train", {"base": ["/store/results/base"]}, {}, []),
    ("tokenize", {}, {"tokenizer": "stages", "template": "chatml"}, [[str(ROOT / "stages"), "/app/stages"]]),
    ("tokenize", {}, {"tokenizer": str(ROOT / "stages"), "template": None}, [[str(ROOT / "stages")] * 2]),
]


def test_a_container_is_given_the_store_and_what_its_stage_reads(tmp_path: Path) -> None:
    chosen = {stage: STAGES[stage].params().model_dump(mode="json") for stage, *_ in READ}
    plans = [{"sources": sources, "params": {stage: chosen[stage] | params}} for stage, sources, params, _ in READ]
    cases = json.dumps([[case[0], plan, "/store"] for case, plan in zip(READ, plans, strict=True)])
    environment = airflow_environment(tmp_path) | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dags")))}
    done = subprocess.run(
        [AIRFLOW_PYTHON, "-c", MOUNTS, cases], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = [[["/store", "/store", False], *([*pair, True] for pair in case[3])] for case in READ]
    assert json.loads(done.stdout.splitlines()[-1]) == expected
