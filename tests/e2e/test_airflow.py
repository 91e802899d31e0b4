"""Real Airflow: what parsing the DAGs costs, that parsing twice gives the same, all three run in a terminal, a stage that fails."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from infra.airflow_environment import AIRFLOW_PYTHON, airflow_environment
from line import ROOT, FinishedLine
from rows import write_jsonl
from stages.pipeline import PIPELINES
from stages.tracking import open_client

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
if not AIRFLOW_PYTHON.exists():
    pytestmark.append(pytest.mark.skip(reason="needs the orchestrator's environment: make setup"))


def airflow_python(code: str, state: Path) -> dict[str, object]:
    """What `code` leaves in `told`, run by the orchestrator's interpreter with the DAG folder on its path."""
    whole = f"import json, sys, time\nsys.path[:0] = [{str(ROOT / 'dags')!r}, {str(ROOT)!r}]\n{code}\nprint('\\n' + json.dumps(told))"
    done = subprocess.run(
        [AIRFLOW_PYTHON, "-c", whole], env=airflow_environment(state), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_parsing_the_dags_is_light_gives_the_pipelines_tasks_and_edges_and_the_same_each_time(tmp_path: Path) -> None:
    told = airflow_python("""
import airflow.sdk
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, BaseOperator, CronTriggerTimetable, Param
started = time.process_time()
import curate, tune
told = {"seconds": time.process_time() - started, "modules": sorted({name.split(".")[0] for name in sys.modules})}

from stages.pipeline import PIPELINES
for dag in (curate.dag, tune.dag):
    pipeline = PIPELINES[dag.dag_id]
    expected = {s.name: sorted(u.name for u in pipeline.upstream(s)) or ["plan"] for s in pipeline.stages}
    told[dag.dag_id] = {t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks if t.task_id in expected} == expected

import importlib
from airflow.serialization.serialized_objects import DagSerialization
def parse():
    for name in [n for n in sys.modules if n in ("curate", "tune", "pipeline_dag", "operators")]:
        del sys.modules[name]
    return [DagSerialization.to_dict(importlib.import_module(name).dag) for name in ("curate", "tune")]
one, other = parse(), parse()
told["equal"] = json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)
""", tmp_path)  # fmt: skip
    assert {"polars", "pyarrow", "torch", "transformers", "mlflow", "docker"} & set(told["modules"]) == set()  # type: ignore[call-overload]
    assert told["seconds"] < 0.5  # type: ignore[operator]
    assert (told["curate"], told["tune"], told["equal"]) == (True, True, True)


ENDED_TASK = """
import os, signal, subprocess
import operators
Popen = subprocess.Popen
def run(end, moment):
    task = operators.StagesCommand(task_id="sleeper")
    def now(comes):
        if comes == moment:
            os.kill(os.getpid(), end)
    def time_is_over(*_):
        raise TimeoutError
    class NoisyStart(Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            now("starts")
    class Console:
        flush = staticmethod(lambda: None)
        write = staticmethod(lambda text: now("runs"))
    operators.subprocess.Popen, operators.StagesCommand.console = NoisyStart, Console
    for number, handler in (signal.SIGTERM, lambda *_: task.on_kill()), (signal.SIGALRM, time_is_over), (signal.SIGINT, signal.SIG_DFL):
        signal.signal(number, handler)  # as Airflow does
    now("is to start")
    try:
        outcome = task._stream(["sh", "-c", "echo up; exec sleep 60"])
    except BaseException as error:
        outcome = type(error).__name__
    return [outcome, task._process and task._process.wait()]
moments = [(end, moment) for end in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM) for moment in ("starts", "runs")]
told = {f"{end.name} while it {moment}": run(end, moment) for end, moment in [(signal.SIGTERM, "is to start"), *moments]}
"""


def test_a_task_that_is_ended_at_whatever_moment_leaves_no_process_behind(tmp_path: Path) -> None:
    """A killed task, Ctrl-C, and a time limit of Airflow's."""
    assert airflow_python(ENDED_TASK, tmp_path) == {
        "SIGTERM while it is to start": ["RuntimeError", None],
        "SIGTERM while it starts": [-9, -9],
        "SIGTERM while it runs": [-9, -9],
        "SIGINT while it starts": ["KeyboardInterrupt", -9],
        "SIGINT while it runs": ["KeyboardInterrupt", -9],
        "SIGALRM while it starts": ["TimeoutError", -9],
        "SIGALRM while it runs": ["TimeoutError", -9],
    }


SWEEP = """description: two answers to one question
profile: {profile}
experiments:
  consistency: {{question: "How much harm is done?", vary: {{train.inconsistent_share: [0.0, 0.5]}}}}
"""


class Ran(NamedTuple):
    """A store in which Airflow ran, the results that were there before, and what it said."""

    store: Path
    before: set[Path]
    told: str


@pytest.fixture(scope="module")
def ran(line: FinishedLine, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The three DAGs one after the other over a copy of the line's store, as `make demo` and `make sweep` run them."""
    folder = tmp_path_factory.mktemp("ran")
    store = shutil.copytree(line.store, folder / "store")
    before = set(store.glob("results/*/*"))
    (folder / "sweep.yaml").write_text(SWEEP.format(profile=line.profile))
    environment = airflow_environment(folder / "airflow") | {
        "TEMPER_STORE": str(store),
        "TEMPER_PROFILE": str(line.profile),
        "TEMPER_SWEEP": str(folder / "sweep.yaml"),
    }
    command = [AIRFLOW_PYTHON, ROOT / "infra" / "run_dags.py", "curate", "tune", "sweep"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return Ran(store, before, done.stdout)


@pytest.mark.xdist_group("dags")
@pytest.mark.e2e(minutes=2)
def test_both_dags_find_what_the_pipeline_made_and_tell_each_task(ran: Ran) -> None:
    """A result is found by its key alone: only what belongs to one run is made anew."""
    told = ran.told.splitlines()
    assert [entry for entry in told if entry.startswith("dag ")][:2] == ["dag curate: success", "dag tune: success"]
    notes = [path for run in ("curate", "tune") for path in ran.store.glob(f"runs/{run}-*/*.json")]
    stages = {path.stem: json.loads(path.read_text())["hit"] for path in notes if path.stem != "run"}
    assert len(stages) == 14
    assert {stage for stage, was_found in stages.items() if not was_found} == {"register", "promote", "report"}
    for stage in ("curate: ingest", "tune: train"):
        assert told.index(f"-- {stage} starts") < next(
            n for n, said in enumerate(told) if said.startswith(f"-- {stage} done, ")
        )
        assert any(said.startswith(f"{stage.split()[1]}: ") and "found, verified" in said for said in told)


@pytest.mark.xdist_group("dags")
@pytest.mark.e2e(minutes=2)
def test_a_sweep_reuses_what_stands_and_ends_in_a_page_and_nested_runs(ran: Ran) -> None:
    """Real Airflow maps over its trials: ordinary runs in the store, one page, nested runs in real MLflow."""
    assert "dag sweep: success" in ran.told
    assert re.search(r"^-- sweep: trial trial-\w+ starts$", ran.told, re.MULTILINE), "a trial is told by its name"
    anew = [path.parent.name for path in ran.store.glob("results/*/*") if path not in ran.before]
    assert anew.count("train") == 1, "the first trial is the line's own run"
    assert {stage.name for stage in PIPELINES["curate"].stages}.isdisjoint(anew)
    [page] = ran.store.glob("sweeps/*/sweep.html")
    assert "inconsistent_share 0.5" in page.read_text()
    client = open_client(f"sqlite:///{ran.store / 'mlflow.db'}")
    home = client.get_experiment_by_name("sweeps")
    assert home is not None
    runs = client.search_runs([home.experiment_id])
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name.endswith("/consistency")
    assert [run.data.tags["mlflow.parentRunId"] for run in runs if run is not parent] == [parent.info.run_id] * 2


def test_a_failing_stage_fails_the_dag_at_once_and_says_why(line: FinishedLine, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    write_jsonl(tmp_path / "raw" / "bad.jsonl", [{"instruction": "Say something", "input": "", "output": ""}])
    profile = tmp_path / "broken.yaml"
    profile.write_text(line.profile.read_text().replace(str(line.raw), str(tmp_path / "raw")))
    environment = airflow_environment(tmp_path / "airflow") | {
        "TEMPER_STORE": str(tmp_path / "store"),
        "TEMPER_PROFILE": str(profile),
        "TEMPER_PYTHON": str(noting_python(tmp_path)),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",  # were it tried again, that would come at once
    }
    done = subprocess.run([AIRFLOW_PYTHON, ROOT / "infra" / "run_dags.py", "curate"], cwd=ROOT, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "dag curate: failed (failed: ingest)" in done.stdout
    assert "-- curate: ingest FAILED (" in done.stdout
    assert "a retry cannot help" in done.stdout + done.stderr
    commands = [" ".join(command.split()[2:4]) for command in (tmp_path / "commands").read_text().splitlines()]
    assert commands == ["start curate", "run ingest"], "it is not tried again, and nothing follows it"


def noting_python(folder: Path) -> Path:
    """The stages' interpreter, which adds its arguments to the file `commands` each time that it is started."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/commands"\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script
