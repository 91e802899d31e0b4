"""A stage as an Airflow task: the same command in a process or in a container. Imports no stage's libraries."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, TextIO

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from stages.contract import Stage
from stages.errors import ConfigError, DataError, GateNotPassed, UsageError
from stages.processes.signals import signals_held
from stages.store.storage import setting

ROOT = Path(__file__).resolve().parent.parent
Runner = Literal["process", "docker"]

# A retry cannot help: the same command would fail in the same way.
FINAL_EXIT_CODES = {error.exit_code for error in (UsageError, DataError, ConfigError, GateNotPassed)}
IMAGES = "temper-{image}"


def store_folder() -> Path:
    """The store; a relative path is taken from the project's root, wherever Airflow was started."""
    return ROOT / setting("STORE", "work/store")


def run_folder(context: Mapping[str, Any]) -> Path:
    """Where this DAG run keeps its plan: derived from its id, so that no task has to be told by another."""
    run = re.sub(r"[^A-Za-z0-9-]+", "-", context["run_id"]).strip("-")
    return store_folder() / "runs" / f"{context['dag'].dag_id}-{run}"


class StagesCommand(BaseOperator):
    """Runs `python -m stages …` in the stages' own environment and fails by its exit code."""

    console: ClassVar[TextIO | None] = None  # where somebody watches who has no task log before them

    def __init__(self, *, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = list(arguments)
        self._process: subprocess.Popen[str] | None = None
        self._killed = False

    def command(self, context: Mapping[str, Any]) -> list[str]:
        """Arguments after `python -m stages`."""
        return [*self.arguments, "--run", str(run_folder(context))]

    def execute(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        python = setting("PYTHON", str(ROOT / ".venv" / "bin" / "python"))
        command = [python, "-m", "stages", *self.command(context)]
        self.log.info("%s", " ".join(command))
        code = self._stream(command)
        if code in FINAL_EXIT_CODES:
            raise AirflowFailException(
                f"{command[3]} {command[4]} left with exit code {code}; a retry cannot help, see above"
            )
        if code:
            raise RuntimeError(f"{' '.join(command[2:5])} left with exit code {code}")

    def _stream(self, command: Sequence[str]) -> int:
        """Runs `command` in a process group of its own, its lines going to the task log. What ends this ends that."""
        hear_ctrl_c()
        try:
            with signals_held():  # while it starts, nobody has it yet to end it
                if self._killed:
                    raise RuntimeError("killed before its process was started")
                self._process = process = _start(command)
            for line in process.stdout or ():
                self.log.info("%s", line.rstrip())
                if self.console:
                    print(line.rstrip(), file=self.console, flush=True)
            return process.wait()
        except BaseException:
            self.on_kill()
            raise

    def on_kill(self) -> None:
        """A killed task leaves no stage behind, and starts none."""
        if self._process is None:
            self._killed = True
        elif self._process.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self._process.pid, signal.SIGKILL)


def hear_ctrl_c() -> None:
    """An Airflow task's own process would just be gone, and what it had started would go on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True, env=_clean_environment())  # fmt: skip


def _clean_environment() -> dict[str, str]:
    """Airflow's own environment must not lead the stages' interpreter to Airflow's packages."""
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    }


class PlanRun(StagesCommand):
    """Checks the whole run, its parameters and sources, and writes the plan that every later task reads."""

    def __init__(self, *, pipeline: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline

    def command(self, context: Mapping[str, Any]) -> list[str]:
        asked = context["params"]
        command = ["start", self.pipeline, "--profile", asked["profile"], "--store", str(store_folder())]
        for source, paths in asked["sources"].items():
            command += [word for path in paths for word in ("--source", f"{source}={path}")]
        for name, value in asked["set"].items():
            command += ["--set", f"{name}={json.dumps(value)}"]
        return [*command, "--run-name", run_folder(context).name]


class StageProcess(StagesCommand):
    """A stage in a process on the worker."""

    def __init__(self, *, stage: str, **kwargs: Any) -> None:
        super().__init__(arguments=["run", stage], **kwargs)
        self.stage = stage

    def execute(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        super().execute(context)
        skip_when_nothing_was_to_do(run_folder(context), self.stage)


def skip_when_nothing_was_to_do(run: Path, stage: str) -> None:
    """The note of a finished stage decides, never an exit code or a message alone."""
    if json.loads((run / f"{stage}.json").read_text(encoding="utf-8"))["result"] is None:
        raise AirflowSkipException(f"stage {stage} has nothing to do in this run")


def stage_task(stage: Stage, runner: Runner) -> BaseOperator:
    """The task of one stage; everything it says comes from the declaration."""
    facts: dict[str, Any] = {
        "task_id": stage.name,
        "doc": stage.purpose,
        "retries": 2 if stage.kind == "job" else 1,
        "trigger_rule": "none_failed",
        "stage": stage.name,
    }
    if runner == "process":
        return StageProcess(**facts)
    if runner == "docker":
        from docker_operator import StageContainer

        return StageContainer(image=IMAGES.format(image=stage.image), gpus=stage.gpus, **facts)
    raise ConfigError(f"TEMPER_RUNNER is {runner!r}; use process or docker")
