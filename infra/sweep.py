"""`make sweep`: the experiments of a sweep, through Airflow, and where what they found stands."""

import json
import subprocess
import sys

from infra.airflow_environment import AIRFLOW_PYTHON, ROOT, airflow_environment
from stages.errors import Interrupted
from stages.store.storage import setting

STORE = ROOT / setting("STORE", "work/store")


def main() -> int:
    """Runs the DAG `sweep` from start to end and tells what its comparison says."""
    environment = airflow_environment(ROOT / setting("AIRFLOW_STATE", "work/airflow")) | {"TEMPER_STORE": str(STORE)}
    print(f"Airflow runs one trial after another; what is done appears in {STORE / 'runs'}", flush=True)
    command = [str(AIRFLOW_PYTHON), str(ROOT / "infra" / "run_dags.py"), "sweep"]
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    folders = sorted(STORE.glob("sweeps/*/sweep.json"), key=lambda path: path.stat().st_mtime_ns)
    if not folders:
        return code or 70
    asked = [sys.executable, "-m", "stages", "sweep", "compare", "--sweep", str(folders[-1].parent)]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    trials = json.loads(folders[-1].read_text(encoding="utf-8"))["trials"]
    print(f"\n{len(trials)} trials, each an ordinary run in {STORE / 'runs'}\n{told.stdout}{told.stderr}", end="")
    print("next: make up, and look at the experiment `sweeps` in MLflow; your own: TEMPER_SWEEP=<file> make sweep")
    return code or told.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted before the end; `make sweep` goes on from there: what was finished is kept", file=sys.stderr)
        sys.exit(Interrupted.exit_code)
