"""Real Airflow: both DAGs from start to end on SQLite, what parsing them costs, and that parsing twice gives the same."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from infra.airflow_environment import AIRFLOW_PYTHON, airflow_environment
from line import ROOT, FinishedLine

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


def test_airflow_runs_both_dags_to_the_same_digests_as_the_pipeline_alone(line: FinishedLine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    environment = airflow_environment(tmp_path / "airflow") | {
        "TEMPER_STORE": str(store),
        "TEMPER_PROFILE": str(line.profile),
    }
    command = [AIRFLOW_PYTHON, ROOT / "infra" / "run_dags.py", "curate", "tune"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert [entry for entry in done.stdout.splitlines() if entry.startswith("dag ")] == [
        "dag curate: success",
        "dag tune: success",
    ]
    assert digests(store) == digests(line.store)


def digests(store: Path) -> dict[str, str]:
    """Stage/dataset -> digest of everything in a store."""
    found = {}
    for receipt in store.glob("results/*/*/receipt.json"):
        stated = json.loads(receipt.read_text())
        found |= {f"{stated['stage']}/{name}": facts["digest"] for name, facts in stated["outputs"].items()}
    return found


def test_a_failing_stage_fails_the_dag_at_once_and_says_why(line: FinishedLine, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(line.profile.read_text().replace("max_tokens: 256", "max_tokens: 256, template: nonsense", 1)
                      .replace("template: chatml, ", ""))  # fmt: skip
    environment = airflow_environment(tmp_path / "airflow") | {
        "TEMPER_STORE": str(tmp_path / "store"),
        "TEMPER_PROFILE": str(broken),
    }
    started = time.monotonic()
    done = subprocess.run([AIRFLOW_PYTHON, ROOT / "infra" / "run_dags.py", "curate"], cwd=ROOT, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "dag curate: failed (failed: tokenize" in done.stdout
    assert "a retry cannot help" in done.stdout + done.stderr
    assert time.monotonic() - started < 240, "a configuration error is not retried"
