"""Trains in child processes that are killed at given moments, in one folder, then once to the end.

Answers each line of JSON, `["<folder>", [{"step": 3}, {"sync": 2}], {"method": "full"}]`, by one with the steps that each
attempt took, or by what failed; the folder holds base/ and examples/. Imports once and forks per attempt, as importing takes longer than
training.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from stages.contract import Workbench
from stages.store import storage
from stages.train import checkpoint
from stages.train.job import run
from stages.train.stage import TrainParams
from workbench import lend

# Dropout draws random numbers at every step, early stopping keeps weights beside, so that a resume must get all of it right.
PARAMS: dict[str, Any] = dict(
    lora_dropout=0.1, lora_rank=4, epochs=4, pack_tokens=64, packs_per_step=2, learning_rate=1e-3,
    validate_every_steps=4, early_stopping_patience=50, checkpoint_every_steps=2, cpu_threads=1,
)  # fmt: skip


def main() -> None:
    """Runs, for each line, one attempt per kill, and one more that nobody disturbs."""
    for line in sys.stdin:
        folder, kills, settings = json.loads(line)
        params = TrainParams.model_validate(PARAMS | settings)
        try:
            told: object = [attempt(Path(folder), kill, params) for kill in [*kills, {}]]
        except ChildProcessError as error:
            told = str(error)
        print(json.dumps(told), flush=True)


def attempt(folder: Path, kill: dict[str, int], params: TrainParams) -> list[int]:
    """First and last step that a child took, which kills itself with SIGKILL as told or ends well."""
    told = folder / "steps.txt"
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        train(folder, kill, told, params)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    expected = signal.SIGKILL if kill else 0
    if status != expected:
        raise ChildProcessError(f"attempt {kill} ended with status {status}")
    taken = [int(line) for line in told.read_text().split()] if told.exists() else []
    return [taken[0], taken[-1]] if taken else []


def train(folder: Path, kill: dict[str, int], told: Path, params: TrainParams) -> None:
    """One attempt, which starts with empty outputs and the scratch folder of the one before."""
    outputs: dict[str, Any] = {name: folder / name for name in ("adapter", "model", "training_log")}
    for output in outputs.values():
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
    if "sync" in kill:
        kill_at_sync(kill["sync"])
    bench = lend(folder / "scratch", input_digests={"base": "b" * 64})
    watched = Workbench(
        bench.scratch, bench.cache, 1, "", Watch(told, kill.get("step")), bench.key, bench.input_digests
    )
    made = outputs | dict.fromkeys(params.outputs_left_out())
    run(folder / "base", folder / "examples", **made, params=params, workbench=watched)


class Watch:
    """Notes each step, and kills its own process after one of them."""

    def __init__(self, told: Path, last: int | None) -> None:
        self.told, self.last = told, last

    def __call__(self, done: int, total: int | None, unit: str, **facts: Any) -> None:
        if unit != "steps":
            return
        with self.told.open("a") as file:
            file.write(f"{done}\n")
        if done == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_at_sync(number: int) -> None:
    """Kills this process in the middle of saving: at the n-th file or folder that a checkpoint brings to disk."""
    right, count = storage.fsync, 0

    def fsync(path: Path) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        right(path)

    setattr(checkpoint, "fsync", fsync)  # noqa: B010 - the name is imported there, so it cannot be set in storage


if __name__ == "__main__":
    main()
