"""The choice of the optimizer, what it does in a run, and its state through a checkpoint."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exact_gradients import by_hand, norm
from stages.errors import ConfigError
from stages.modelling.models import load_model
from stages.train import optimizer as optimizer_module
from stages.train.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from stages.train.optimizer import choose_optimizer, make_optimizer, optimizer_tensors, restore_optimizer
from stages.train.stage import TrainParams
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import arrays, random_examples, train

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


@torch.no_grad()
def adamw_by_hand(
    weights: dict[str, Tensor], gradients: list[dict[str, Tensor]], rate: float, decay: float
) -> dict[str, Tensor]:
    """What the last of the gradients makes of the weights. Source: Loshchilov and Hutter, "Decoupled Weight Decay", 2019."""
    made, steps = {}, len(gradients)
    for name, weight in weights.items():
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        for gradient in gradients:
            first, second = 0.9 * first + 0.1 * gradient[name], 0.999 * second + 0.001 * gradient[name] ** 2
        change = first / (1 - 0.9**steps) / ((second / (1 - 0.999**steps)).sqrt() + 1e-8)
        made[name] = weight - rate * (change + (decay * weight if weight.ndim > 1 else 0))
    return made


def test_the_weights_of_a_run_are_those_of_adamw_by_hand(tmp_path: Path) -> None:
    """In float64: the gradient of all tokens, shortened where it is too long; the rate of the step; decay of matrices."""
    base = make_model(tmp_path / "base", make_tokenizer(tmp_path / "tokenizer"))
    rows, rates, longest, decay = random_examples(6), [0.02, 0.02, 0.01], 2.0, 0.5
    made = train(
        tmp_path, base, rows, packs_per_step=100, epochs=3, learning_rate=0.02, warmup_share=0.3, schedule="linear",
        weight_decay=decay, max_grad_norm=longest,
    )  # fmt: skip
    exact = load_model(base, torch.float64)
    weights, before = dict(exact.named_parameters()), load_model(base, torch.float64).state_dict()
    gradients: list[dict[str, Tensor]] = []
    for rate, told in zip(rates, made.log["grad_norm"].to_list(), strict=True):
        found = by_hand(exact, arrays(rows))
        assert told == pytest.approx(norm(found), rel=1e-4)  # before it is shortened
        gradients.append({name: g * min(1, longest / norm(found)) for name, g in found.gradient.items()})
        exact.load_state_dict(adamw_by_hand(weights, gradients, rate, decay))
    assert [told > longest for told in made.log["grad_norm"]] == [True, False, True]
    for name, weight in load_model(made.model).state_dict().items():
        assert (weight - weights[name]).norm() < 1e-3 * (weight - before[name]).norm(), name
