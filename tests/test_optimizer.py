"""The choice of the optimizer, and its state through a checkpoint."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from stages.errors import ConfigError
from stages.train import optimizer as optimizer_module
from stages.train.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from stages.train.optimizer import choose_optimizer, make_optimizer, optimizer_tensors, restore_optimizer
from stages.train.stage import TrainParams

CPU, GPU = torch.device("cpu"), torch.device("cuda")
STEPS = 3


def installed(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    monkeypatch.setattr(
        optimizer_module.importlib.util, "find_spec", lambda name: SimpleNamespace() if is_there else None
    )


@pytest.mark.parametrize(
    ("given", "device", "is_there", "chosen"),
    [
        ({"method": "qlora"}, GPU, True, "paged_adamw_8bit"),
        ({"method": "qlora"}, GPU, False, "adamw"),
        ({"method": "qlora"}, CPU, True, "adamw"),
        ({"method": "lora"}, GPU, True, "adamw"),
        ({"method": "qlora", "optimizer": "adamw"}, GPU, True, "adamw"),
        ({"method": "full", "optimizer": "paged_adamw_8bit"}, GPU, True, "paged_adamw_8bit"),
        ({"method": "qlora", "parallelism": "fsdp2", "processes": 2}, GPU, True, "adamw"),
    ],
)
def test_auto_pages_qlora_on_a_gpu_that_has_the_package(
    given: dict[str, Any], device: torch.device, is_there: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, is_there)
    assert choose_optimizer(TrainParams(**given), device) == chosen


@pytest.mark.parametrize(
    ("device", "is_there", "said"),
    [
        (CPU, True, "needs a GPU with CUDA, and this run is on cpu"),
        (GPU, False, "needs the package bitsandbytes.*train-gpu"),
    ],
)
def test_what_cannot_run_here_says_what_to_do(
    device: torch.device, is_there: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, is_there)
    with pytest.raises(ConfigError, match=said):
        choose_optimizer(TrainParams(optimizer="paged_adamw_8bit"), device)


def make(name: str) -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layer = nn.Linear(128, 64)  # from 4,096 numbers on, bitsandbytes keeps eight bits
    params = TrainParams(learning_rate=1e-2)
    if name == "adamw":
        return layer, make_optimizer(layer.parameters(), params)
    from bitsandbytes.optim import AdamW8bit  # paging needs CUDA; the state is the same

    return layer, AdamW8bit(layer.parameters(), lr=1e-2)


def learn(layer: nn.Linear, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        inputs = torch.randn(8, 128, generator=torch.Generator().manual_seed(step))
        layer(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit"])
def test_a_run_that_goes_on_from_a_checkpoint_ends_as_one_without(tmp_path: Path, name: str) -> None:
    if name == "adamw_8bit":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is for machines with a GPU (train-gpu.in)")
    whole, optimizer = make(name)
    learn(whole, optimizer, 0, 2 * STEPS)
    first, optimizer = make(name)
    learn(first, optimizer, 0, STEPS)
    save_checkpoint(tmp_path, Checkpoint(STEPS, {}, {"optimizer": optimizer_tensors(optimizer)}))
    saved = newest_checkpoint(tmp_path)
    assert saved is not None
    second, optimizer = make(name)
    second.load_state_dict(first.state_dict())
    restore_optimizer(optimizer, saved.tensors["optimizer"])
    learn(second, optimizer, STEPS, 2 * STEPS)
    assert torch.equal(second.weight, whole.weight)
    assert torch.equal(second.bias, whole.bias)
