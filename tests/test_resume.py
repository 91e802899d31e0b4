import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import torch

from rows import sealed
from stages.train.checkpoint import KEPT, Checkpoint, newest_checkpoint, save_checkpoint
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import digests, random_examples

TESTS = Path(__file__).resolve().parent
STEPS = 24  # 4 epochs of 6
SYNCS_PER_SAVE = 5  # progress, three groups of tensors, and the folder once the checkpoint stands


def prepare(folder: Path) -> Path:
    make_model(folder / "base", make_tokenizer(folder / "tokenizer"))
    sealed(folder / "examples", "examples", random_examples(36))
    return folder


def train(folder: Path, kills: list[dict[str, int]]) -> list[list[int]]:
    """First and last step of each attempt."""
    command = [sys.executable, str(TESTS / "killed_training.py"), str(folder), json.dumps(kills)]
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps: list[list[int]] = json.loads(done.stdout)
    return steps


def made(folder: Path) -> dict[str, str]:
    return digests(folder / "adapter") | digests(folder / "training_log")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = prepare(tmp_path_factory.mktemp("undisturbed"))
    assert train(folder, []) == [[1, STEPS]]
    return made(folder)


@pytest.mark.slow
def test_killed_at_any_step_and_run_again_gives_the_same_bytes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    random = Random(20)
    kills = sorted(random.sample(range(1, STEPS), 6))
    attempts = train(prepare(tmp_path), [{"step": step} for step in kills])
    assert made(tmp_path) == undisturbed
    # Each attempt went on from the last checkpoint, two steps apart, before the kill of the one before it.
    starts = [first for first, _ in attempts]
    assert starts == [1, *((step - 1) // 2 * 2 + 1 for step in kills)]


@pytest.mark.slow
def test_killed_while_saving_a_checkpoint_gives_the_same_bytes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    kills = [{"sync": SYNCS_PER_SAVE * save + sync} for save, sync in enumerate(range(1, SYNCS_PER_SAVE + 1))]
    attempts = train(prepare(tmp_path), kills)
    assert attempts[-1][0] > 1
    assert made(tmp_path) == undisturbed


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
        lambda newest: (newest / "whole.json").unlink(),
        lambda newest: (newest / "whole.json").write_text("[]"),
        lambda newest: newest.rename(newest.with_suffix(".tmp")),
    ],
    ids=["cut file", "missing file", "no seal", "wrong seal", "not renamed"],
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


def test_no_checkpoint_is_a_fresh_start(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "never made") is None
