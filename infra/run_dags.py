"""Runs DAGs from start to end in this process, by Airflow's own `dag.test()`: python infra/run_dags.py curate tune.

Called with the orchestrator's interpreter (`.venv-airflow`) and its environment (infra/airflow_environment.py).
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(dag_ids: list[str]) -> int:
    """Migrates the metadata database when it is new, runs each DAG, and stops at the first that fails."""
    if not Path(os.environ["AIRFLOW_HOME"], "airflow.db").exists():
        subprocess.run(
            [Path(sys.executable).with_name("airflow"), "db", "migrate"], check=True, stdout=subprocess.DEVNULL
        )
    sys.path[:0] = [str(ROOT / "dags"), str(ROOT)]
    for dag_id in dag_ids:
        run = importlib.import_module(dag_id).dag.test()
        failed = [task.task_id for task in run.get_task_instances() if task.state == "failed"]
        print(f"dag {dag_id}: {run.state}" + (f" (failed: {', '.join(failed)})" if failed else ""), flush=True)
        if run.state != "success":
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
