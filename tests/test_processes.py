"""Several processes that share each step -> what one process finds; gloo on the CPU, as it is without GPUs."""

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from exact_gradients import CPU, Found, by_hand, difference, make_gradients, norm
from rows import sealed
from stages.errors import ConfigError, TryAgain
from stages.modelling.models import load_model, repeatable
from stages.train.batches import lay_out
from stages.train.examples import Examples
from stages.train.gradients import Gradients
from stages.train.packing import StepOrder
from stages.train.stage import TrainParams
from stages.train.team import Team
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import TINY, arrays, random_examples, train
from workbench import lend

ROOT = Path(__file__).resolve().parent.parent
ROWS = random_examples(30)
WEIGHTED = [row | {"weight": 0.5 + number % 3} for number, row in enumerate(ROWS)]
# Two or three packs a step: of three, the first process has two.
SETTINGS: dict[str, Any] = {"packs_per_step": 3, "max_steps": 5, "validate_every_steps": 2}
LAUNCHED = {"packs_per_step": 3, "max_steps": 5, "pack_tokens": 64, "cpu_threads": 1, "method": "lora"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model", make_tokenizer(folder / "tokenizer"))


def found_by_two(base: Path, broken: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Found, Found]:
    """Gradient of one step, its packs divided among two processes that run one after the other; and the reference."""
    examples, model = arrays(WEIGHTED), load_model(base)
    packs = [np.arange(3), np.arange(3, 4), np.arange(4, 30)]
    batches = list(lay_out(examples, packs, packing=True, pack_tokens=2048))
    monkeypatch.setattr(Team, "sum_gradients", lambda self, weights: None)
    monkeypatch.setattr(Team, "gather", lambda self, values, count: torch.stack(values))
    right, shared, losses = Gradients._backward, copy.deepcopy(model), []
    for rank in range(2):
        gradients = make_gradients(shared, examples, Team(rank, 2, CPU))
        own = sum(batch.weight for batch in gradients.team.share(batches))
        if broken:  # each process divides by its own count, and the mean of both is taken
            monkeypatch.setattr(Gradients, "_backward", lambda self, b, _, own=own: right(self, b, 2 * own))
        losses += gradients.add_up(batches, seed=0).tolist()
    gradient = {name: weight.grad for name, weight in shared.named_parameters() if weight.grad is not None}
    loss = sum(losses) / sum(batch.weight for batch in batches)
    return Found(loss, gradient), by_hand(model, examples)


def test_each_process_divides_by_the_count_of_them_all(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with repeatable(1):
        found, expected = found_by_two(base, False, monkeypatch)
    assert difference(found, expected) < 5e-6


def test_a_mean_over_processes_would_be_noticed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with repeatable(1):
        found, expected = found_by_two(base, True, monkeypatch)
    assert difference(found, expected) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("parallelism", ["ddp", "fsdp2"])
def test_two_processes_find_what_one_finds(base: Path, tmp_path: Path, parallelism: str) -> None:
    one = train(tmp_path / "one", base, ROWS, **SETTINGS)
    two = train(tmp_path / "two", base, ROWS, processes=2, parallelism=parallelism, **SETTINGS)
    for column in ("loss", "grad_norm", "learning_rate", "supervised_tokens", "total_tokens", "validation_loss"):
        expected = one.log[column].drop_nulls().to_list()
        assert two.log[column].drop_nulls().to_list() == pytest.approx(expected, rel=1e-5), column
    assert two.facts["processes"] == 2
    before, of_one, of_two = (load_model(folder).state_dict() for folder in (base, one.model, two.model))
    for name, weight in of_one.items():
        assert (of_two[name] - weight).norm() < 0.01 * (weight - before[name]).norm(), name
    exact = by_hand(load_model(base), first_step())
    assert (two.log["loss"][0], two.log["grad_norm"][0]) == pytest.approx((exact.loss, norm(exact)), rel=1e-5)


def first_step() -> Examples:
    """The examples of the first step, in the order of the packs."""
    learned = arrays([row for row in ROWS if row["split"] == "train"])
    packs = StepOrder(learned.lengths, learned.repeats, TrainParams.model_validate(TINY | SETTINGS)).packs_of(0)
    names = {learned.row_ids[member] for pack in packs for member in pack}
    return arrays([row for row in ROWS if row["row_id"] in names])


def helpers() -> list[psutil.Process]:
    """Processes that this one started to help it train; a test runner has others too."""
    return [child for child in psutil.Process().children() if "stages.train.follow" in child.cmdline()]


@pytest.mark.slow
def test_a_process_that_dies_ends_the_training_with_a_message(base: Path, tmp_path: Path) -> None:
    bench = lend(tmp_path / "scratch")

    def kill_the_other(done: int, total: int | None, unit: str, **facts: Any) -> None:
        for other in helpers() if done else ():
            other.kill()

    object.__setattr__(bench, "progress", kill_the_other)
    with pytest.raises(TryAgain, match=r"training process 1 of this run has died; run the same command again"):
        train(tmp_path, base, ROWS, bench, processes=2, **SETTINGS)
    assert not torch.distributed.is_initialized()
    assert helpers() == []


# `--multi_gpu` only says that torchrun is to start them; without a GPU they find each other by gloo.
LAUNCHER = [
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def launch(
    output: Path, base: Path, examples: Path, *launcher: str, **more: object
) -> subprocess.CompletedProcess[str]:
    inputs = [text for name, path in (("base", base), ("examples", examples)) for text in ("--input", f"{name}={path}")]
    settings = [text for name, value in (LAUNCHED | more).items() for text in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", *launcher, "stages", "run", "train", *inputs, "--output", str(output), *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_same_command_under_accelerate_launch_gives_the_same_bytes_and_finds_them_again(
    base: Path, tmp_path: Path
) -> None:
    examples = sealed(tmp_path / "examples", "examples", ROWS)
    launcher = ("accelerate.commands.launch", *LAUNCHER, "--main_process_port", str(free_port()), "-m")
    first = launch(tmp_path / "launched", base, examples, *launcher)
    assert first.returncode == 0, first.stderr
    again = launch(tmp_path / "launched", base, examples, *launcher)
    assert again.returncode == 0, again.stderr
    assert "found, verified" in again.stdout
    by_itself = launch(tmp_path / "own", base, examples, processes=2)
    assert by_itself.returncode == 0, by_itself.stderr
    for made in ("adapter/adapter_model.safetensors", "training_log/part-00000.parquet"):
        assert (tmp_path / "launched" / made).read_bytes() == (tmp_path / "own" / made).read_bytes(), made


def test_as_many_processes_as_were_launched(monkeypatch: pytest.MonkeyPatch, base: Path, tmp_path: Path) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    assert (TrainParams().processes, TrainParams().parallelism) == (4, "ddp")
    with monkeypatch.context() as sharded:
        sharded.setenv("ACCELERATE_USE_FSDP", "true")
        assert TrainParams().parallelism == "fsdp2"
    with pytest.raises(ConfigError, match="4 processes were started and train has processes=2"):
        train(tmp_path, base, ROWS, processes=2)
