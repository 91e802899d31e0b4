"""Real Airflow maps over the trials of a sweep: ordinary runs in the store, one page, nested runs in real MLflow."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.airflow_environment import AIRFLOW_PYTHON, airflow_environment
from line import ROOT, FinishedLine
from stages.tracking import open_client

pytestmark = [pytest.mark.slow, pytest.mark.e2e(minutes=1)]
if not AIRFLOW_PYTHON.exists():
    pytestmark.append(pytest.mark.skip(reason="needs the orchestrator's environment: make setup"))

SWEEP = """description: two answers to one question
profile: {profile}
experiments:
  consistency: {{question: "How much harm is done?", vary: {{train.inconsistent_share: [0.0, 0.5]}}}}
"""


def test_a_sweep_reuses_what_stands_and_ends_in_a_page_and_nested_runs(line: FinishedLine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(line.store, store)
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(profile=line.profile))
    made = {path.name for path in store.glob("results/train/*")}
    environment = airflow_environment(tmp_path / "airflow") | {
        "TEMPER_STORE": str(store),
        "TEMPER_SWEEP": str(tmp_path / "sweep.yaml"),
    }
    command = [AIRFLOW_PYTHON, ROOT / "infra" / "run_dags.py", "sweep"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert "dag sweep: success" in done.stdout, done.stdout[-4000:] + done.stderr[-4000:]
    assert re.search(r"^-- sweep: trial trial-\w+ starts$", done.stdout, re.MULTILINE), "a trial is told by its name"
    assert len({path.name for path in store.glob("results/train/*")} - made) == 1, (
        "the first trial is the line's own run"
    )
    [page] = store.glob("sweeps/*/sweep.html")
    assert "inconsistent_share 0.5" in page.read_text()
    client = open_client(f"sqlite:///{store / 'mlflow.db'}")
    home = client.get_experiment_by_name("sweeps")
    assert home is not None
    runs = client.search_runs([home.experiment_id])
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name.endswith("/consistency")
    assert [run.data.tags["mlflow.parentRunId"] for run in runs if run is not parent] == [parent.info.run_id] * 2
