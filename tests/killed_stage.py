"""Runs a stage to the end, then once for each share of that time, killed there, then to the end again.

`python tests/killed_stage.py <undisturbed folder> <killed folder> '[0.4, 0.9]' run dedup --input …`: the arguments of
`python -m stages`, without --output. Imports once and forks per attempt, as importing takes longer than most stages, and
so that the kills meet the stage at its work. Ends with a message when an attempt leaves half a result.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from stages.__main__ import main as run_command
from stages.store.storage import verify_dataset


def main(undisturbed: Path, killed: Path, shares: Sequence[float], command: Sequence[str]) -> None:
    """Two attempts that end well, and between them those that are killed."""
    load(command[1])
    started = time.monotonic()
    finish([*command, "--output", str(undisturbed)])
    full = time.monotonic() - started
    for share in shares:
        kill_after([*command, "--output", str(killed)], share * full)
        require_whole_or_absent(killed)
    finish([*command, "--output", str(killed)])


def load(stage: str) -> None:
    """Imports what the stage's process would import."""
    for module in ("stages.execution.runner", f"stages.{stage}.transform", f"stages.{stage}.job"):
        if find_spec(module):
            importlib.import_module(module)


def begin(command: Sequence[str]) -> int:
    """The process, the first of its own group, in which `command` runs."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os._exit(run_command(command))
    os.setpgid(child, child)  # both say so, as either may come first, and the kill may come at once
    return child


def finish(command: Sequence[str]) -> None:
    _, status = os.waitpid(begin(command), 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}")


def kill_after(command: Sequence[str], seconds: float) -> None:
    """Kills the process and its workers, if they are still at it."""
    child = begin(command)
    time.sleep(seconds)
    os.killpg(child, signal.SIGKILL)  # not waited for yet, so the group is there even if the process has ended
    os.waitpid(child, 0)


def require_whole_or_absent(output: Path) -> None:
    if output.exists():
        if not (output / "receipt.json").exists():
            raise SystemExit(f"a result without a receipt is visible: {output}")
        for manifest in output.glob("*/manifest.json"):
            verify_dataset(manifest.parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:])
