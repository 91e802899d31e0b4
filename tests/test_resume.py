import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from rows import sealed
from stages.train.checkpoint import KEPT, Checkpoint, newest_checkpoint, save_checkpoint
from tiny_methods import SMALL
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import TINY, digests, random_examples
from tiny_training import train as train_here

TESTS = Path(__file__).resolve().parent
OUTPUTS = ("adapter", "model", "training_log")
STEPS = 24  # 4 epochs of 6
Train = Callable[[Path, list[dict[str, int]], dict[str, Any]], list[list[int]]]
SYNCS_PER_SAVE = 5  # progress, three groups of tensors, and the folder once the checkpoint stands


def prepare(folder: Path) -> Path:
    make_model(folder / "base", make_tokenizer(folder / "tokenizer"))
    sealed(folder / "examples", "examples", random_examples(36))
    return folder


@pytest.fixture(scope="module")
def train() -> Iterator[Train]:
    """Trains in a process that has imported all it needs; returns the steps done when each attempt began and ended."""
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    command = [sys.executable, str(TESTS / "killed_training.py")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout

        def train(folder: Path, kills: list[dict[str, int]], settings: dict[str, Any]) -> list[list[int]]:
            print(json.dumps([str(folder), kills, settings]), file=process.stdin, flush=True)
            told = json.loads(process.stdout.readline())
            assert isinstance(told, list), told
            return told

        yield train


def made(folder: Path) -> dict[str, str]:
    """Digests of all that a training leaves behind."""
    return {f"{name}/{file}": d for name in OUTPUTS for file, d in digests(folder / name).items()}


def at_steps(random: Random, count: int) -> list[dict[str, int]]:
    return [{"step": step} for step in sorted(random.sample(range(1, STEPS), count))]


def in_saves(random: Random, count: int) -> list[dict[str, int]]:
    """At different moments of the first two saves of an attempt; there are enough steps for all of them."""
    return [{"sync": sync} for sync in random.sample(range(1, 2 * SYNCS_PER_SAVE + 1), count)]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kills"), [("lora", 6), ("full", 3)])
def test_killed_at_any_moment_and_run_again_gives_the_same_bytes(
    train: Train, tmp_path: Path, method: str, kills: int
) -> None:
    settings, random = {"method": method}, Random(method)
    assert train(prepare(tmp_path / "undisturbed"), [], settings) == [[0, STEPS]]
    steps = at_steps(random, kills)
    attempts = train(prepare(tmp_path / "steps"), steps, settings)
    # Each attempt went on from the last checkpoint, two steps apart, before the kill of the one before it.
    assert [first for first, _ in attempts] == [0, *((kill["step"] - 1) // 2 * 2 for kill in steps)]
    attempts = train(prepare(tmp_path / "saves"), in_saves(random, kills), settings)
    assert attempts[-1][0] > 0
    assert made(tmp_path / "steps") == made(tmp_path / "saves") == made(tmp_path / "undisturbed") != {}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["qlora", "bottleneck", "prompt"])
def test_every_kind_of_adapter_killed_at_a_step_and_in_a_save_gives_the_same_bytes(
    train: Train, tmp_path: Path, method: str
) -> None:
    settings, random = {"method": method, "epochs": 2} | SMALL.get(method, {}), Random(method)
    train(prepare(tmp_path / "undisturbed"), [], settings)
    kills = [{"step": random.randrange(3, STEPS // 2)}, {"sync": random.randrange(1, SYNCS_PER_SAVE + 1)}]
    attempts = train(prepare(tmp_path / "killed"), kills, settings)
    assert attempts[-1][0] > 0
    assert made(tmp_path / "killed") == made(tmp_path / "undisturbed") != {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "parallelism", "kill"),
    [("full", "ddp", {"step": 5}), ("lora", "fsdp2", {"sync": SYNCS_PER_SAVE + 3})],
    ids=["replicas at a step", "shares in a save"],
)
def test_two_processes_killed_and_run_again_give_the_same_bytes(
    train: Train, tmp_path: Path, method: str, parallelism: str, kill: dict[str, int]
) -> None:
    settings = {"method": method, "parallelism": parallelism, "processes": 2, "epochs": 2}
    train(prepare(tmp_path / "undisturbed"), [], settings)
    attempts = train(prepare(tmp_path / "killed"), [kill], settings)
    assert attempts[-1][0] > 0
    assert made(tmp_path / "killed") == made(tmp_path / "undisturbed") != {}


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """As when an orchestrator tries again: the same command, the same folders, nothing else is left."""
    prepare(tmp_path)
    settings = TINY | {"method": "lora", "max_steps": 300, "checkpoint_every_steps": 5}
    inputs = [t for name in ("base", "examples") for t in ("--input", f"{name}={tmp_path / name}")]
    values = [t for name, value in settings.items() for t in ("--set", f"{name}={value}")]
    output = tmp_path / "results" / "train"
    command = [sys.executable, "-m", "stages", "run", "train", *inputs, "--output", str(output), *values]
    first = subprocess.Popen(command, cwd=TESTS.parent, stderr=subprocess.DEVNULL)
    while first.poll() is None and not list(tmp_path.rglob("step-00000010")):
        time.sleep(0.02)
    first.kill()
    assert first.wait() == -signal.SIGKILL  # it was in the middle of it
    assert not (output / "receipt.json").exists()
    subprocess.run(command, cwd=TESTS.parent, check=True, capture_output=True)
    assert json.loads((output / "receipt.json").read_text())["facts"]["resumed_at_step"] >= 5
    (tmp_path / "other").mkdir()
    undisturbed = train_here(tmp_path / "other", tmp_path / "base", random_examples(36), **settings)
    weights = "adapter_model.safetensors"
    assert digests(output / "adapter")[weights] == digests(undisturbed.adapter)[weights]


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"step": step}, {"weights": {"w": torch.full((2,), float(step))}, "best": {}})


def test_gives_back_what_was_saved(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(7))
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.progress, found.tensors["best"]) == (7, {"step": 7}, {})
    assert found.tensors["weights"]["w"].tolist() == [7.0, 7.0]


def test_keeps_the_newest_and_the_one_before(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        save_checkpoint(tmp_path, checkpoint(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000008"]
    assert KEPT == 2


@pytest.mark.parametrize(
    "break_it",
    [
        lambda newest: (newest / "weights.safetensors").write_bytes(b"cut"),
        lambda newest: (newest / "weights.safetensors").unlink(),
        lambda newest: (newest / "progress.json").write_text('{"step": 9}'),
        lambda newest: (newest / "whole.json").unlink(),
        lambda newest: (newest / "whole.json").write_text("[]"),
        lambda newest: newest.rename(newest.with_suffix(".tmp")),
    ],
    ids=["cut file", "missing file", "other progress", "no seal", "wrong seal", "not renamed"],
)
def test_passes_over_a_checkpoint_that_is_not_whole(tmp_path: Path, break_it: object) -> None:
    save_checkpoint(tmp_path, checkpoint(2))
    save_checkpoint(tmp_path, checkpoint(4))
    assert callable(break_it)
    break_it(tmp_path / "step-00000004")
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2
    save_checkpoint(tmp_path, checkpoint(4))  # training gets there again and saves over it
    again = newest_checkpoint(tmp_path)
    assert again is not None
    assert again.step == 4


@pytest.mark.parametrize("moment", range(SYNCS_PER_SAVE + 1))
def test_a_save_that_ends_at_any_moment_leaves_a_whole_checkpoint(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (2, 4):
        save_checkpoint(tmp_path, checkpoint(step))
    moments = iter(range(SYNCS_PER_SAVE + 1))

    def end(*_: object) -> None:
        if next(moments) == moment:
            raise KeyboardInterrupt

    # Two groups of tensors and the progress are brought to disk, then the folder is renamed and brought there as well.
    monkeypatch.setattr("stages.train.checkpoint.fsync", end)
    monkeypatch.setattr(Path, "rename", lambda self, to, right=Path.rename: (end(), right(self, to)))
    if moment < SYNCS_PER_SAVE:
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, checkpoint(6))
    else:
        save_checkpoint(tmp_path, checkpoint(6))
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == (4 if moment <= 3 else 6)


def test_no_checkpoint_is_a_fresh_start(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "never made") is None
