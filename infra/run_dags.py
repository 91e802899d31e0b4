"""Runs DAGs from start to end in this process, by Airflow's own `dag.test()`: python infra/run_dags.py curate tune.

Called with the orchestrator's interpreter (`.venv-airflow`) and its environment (infra/airflow_environment.py).
"""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.listener import get_listener_manager

from stages.errors import Interrupted

ROOT = Path(__file__).resolve().parent.parent


class Console:
    """A line when a task starts and when it ends, for people who watch; Airflow calls its hooks by their names."""

    def __init__(self) -> None:
        self._started = 0.0  # one task runs at a time
        self._running: Any = None

    def interrupt(self, *_: object) -> None:
        """Ctrl-C: Airflow would count the task as failed and try it again, and its stage, in a group of its own, go on."""
        if self._running:
            self._running.on_kill()
        os._exit(Interrupted.exit_code)

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        self._started, self._running = time.monotonic(), task_instance.task
        print(f"-- {_named(task_instance)} starts", flush=True)

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        self._tell_end(task_instance, "done")

    @hookimpl
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        self._tell_end(task_instance, "had nothing to do")

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: Any) -> None:
        self._tell_end(task_instance, f"FAILED ({error})")

    def _tell_end(self, task_instance: Any, how: str) -> None:
        self._running = None
        print(f"-- {_named(task_instance)} {how}, {time.monotonic() - self._started:.1f} s", flush=True)


def _named(task_instance: Any) -> str:
    one_of_many = getattr(task_instance, "rendered_map_index", None)
    return f"{task_instance.dag_id}: {task_instance.task_id}{f' {one_of_many}' if one_of_many else ''}"


def main(dag_ids: list[str]) -> int:
    """Migrates the metadata database when it is new, runs each DAG, and stops at the first that fails."""
    if not Path(os.environ["AIRFLOW_HOME"], "airflow.db").exists():
        print("-- Airflow makes its database, once", flush=True)
        subprocess.run(
            [Path(sys.executable).with_name("airflow"), "db", "migrate"], check=True, stdout=subprocess.DEVNULL
        )
    sys.path[:0] = [str(ROOT / "dags"), str(ROOT)]
    importlib.import_module("operators").StagesCommand.console = sys.stdout
    console = Console()
    get_listener_manager().add_listener(console)
    signal.signal(signal.SIGINT, console.interrupt)
    for dag_id in dag_ids:
        print(f"-- Airflow reads the DAG {dag_id}", flush=True)
        run = importlib.import_module(dag_id).dag.test()
        failed = [task.task_id for task in run.get_task_instances() if task.state == "failed"]
        print(f"dag {dag_id}: {run.state}" + (f" (failed: {', '.join(failed)})" if failed else ""), flush=True)
        if run.state != "success":
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
