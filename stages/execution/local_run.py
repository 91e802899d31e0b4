"""Runs a whole pipeline here, without an orchestrator: a hit is verified in this process, the rest runs in its own."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stages.contract import Stage
from stages.errors import TemperError
from stages.execution.request import Request
from stages.execution.runner import probe, tell
from stages.execution.runs import Run, finished, note_finished, stage_inputs
from stages.processes.progress import ProgressLine
from stages.processes.signals import signals_to
from stages.store.storage import tracking_uri


class StageFailed(TemperError):
    """A stage's own process failed; its exit code is the stage's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # of this failure, not of all


def run_pipeline(run: Run, make_request: Callable[..., Request], options: Sequence[str]) -> Iterator[str]:
    """Finishes the run stage by stage and tells of each. Raises StageFailed; what was finished stays finished."""
    for stage in run.pipeline.stages:
        inputs = stage_inputs(run, stage)
        request = _request(run, stage, inputs, make_request)
        found = probe(request) if inputs is not None else None
        if found:
            note_finished(run, stage, found.folder, found.receipt, hit=True)
            yield tell(found)
        else:
            ProgressLine(stage.name, request.progress_form).begin()
            yield _run_in_its_own_process(run, stage, options)


def _request(run: Run, stage: Stage, inputs: Any, make_request: Callable[..., Request]) -> Request:
    return make_request(stage, run.params[stage.name], inputs, tracking_uri(run.store.root), store=run.store)


def _run_in_its_own_process(run: Run, stage: Stage, options: Sequence[str]) -> str:
    """The same command that a container or a DAG calls; its memory is its own, and is measured as such."""
    command = [sys.executable, "-m", "stages", "run", stage.name, "--run", str(run.folder), *options]
    code, said = _ending_together(command)
    if code:
        raise StageFailed(
            f"stage {stage.name} of run {run.name} failed, see above; mend the cause and run the same pipeline again: "
            f"finished stages are kept",
            code if code > 0 else 70,
        )
    return said.rstrip()


def _ending_together(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command and returns its exit code and output. Ctrl-C or SIGTERM, at whatever moment, ends it and this process:
    nothing goes on behind a run that was stopped."""
    came: list[int] = []
    noted = signals_to(lambda number, _: came.append(number))  # while it starts nobody has it yet to end it
    with noted, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            with signals_to(signal.default_int_handler):
                if came:
                    raise KeyboardInterrupt
                said, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    return process.returncode, said


def find_finished(run: Run, make_request: Callable[..., Request], *, before: Stage | None = None) -> Stage | None:
    """Notes in the run every stage whose result stands already; returns the first that would have to run, or None."""
    for stage in run.pipeline.stages:
        if stage == before:
            break
        inputs = stage_inputs(run, stage)
        found = probe(_request(run, stage, inputs, make_request)) if inputs is not None else None
        if inputs is not None and found is None:
            return stage
        if finished(run, stage) is None:
            note_finished(run, stage, found.folder if found else None, found.receipt if found else {}, hit=True)
    return None


def what_would_run(run: Run, make_request: Callable[..., Request]) -> str:
    """Whether anything would run; a stage after one that would run cannot be judged before that one ran."""
    first = find_finished(run, make_request)
    if first is None:
        return "everything is done"
    names = [stage.name for stage in run.pipeline.stages]
    later = names[names.index(first.name) + 1 :]
    done = ", ".join(names[: names.index(first.name)]) or "none"
    return f"found and verified: {done}\nwould run: {first.name}" + (
        f"; then, unless their inputs come out the same: {', '.join(later)}" if later else ""
    )
