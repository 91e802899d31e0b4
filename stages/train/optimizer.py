"""AdamW, its learning rate, and its state as named tensors."""

import importlib.util
import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from stages.errors import ConfigError
from stages.train.sharding import placed_like
from stages.train.stage import TrainParams

RANGE_TEST_START = 1e-5  # of the highest rate: five decades hold every rate that anybody trains with


PAGED, PACKAGE = "paged_adamw_8bit", "bitsandbytes"
SHARED = ("qmap1", "qmap2")  # one table for all weights; safetensors takes no memory twice


def choose_optimizer(params: TrainParams, device: torch.device) -> str:
    """Name of the optimizer; ConfigError when the paged one was asked for where it cannot run."""
    is_installed = importlib.util.find_spec(PACKAGE) is not None
    if params.optimizer == "auto":
        may = params.method == "qlora" and params.parallelism != "fsdp2" and device.type == "cuda" and is_installed
        return PAGED if may else "adamw"
    if params.optimizer == PAGED and device.type != "cuda":
        raise ConfigError(
            f"optimizer={PAGED} needs a GPU with CUDA, and this run is on {device}; leave optimizer unset, or set adamw"
        )
    if params.optimizer == PAGED and not is_installed:
        raise ConfigError(
            f"optimizer={PAGED} needs the package {PACKAGE}, which is not installed here; install what "
            f"containers/requirements/train-gpu.in names, or set optimizer=adamw"
        )
    return params.optimizer


def make_optimizer(weights: Iterable[nn.Parameter], params: TrainParams, name: str = "adamw") -> Optimizer:
    """AdamW that decays matrices and leaves norms and biases alone."""
    weights = list(weights)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if name == PAGED:
        from bitsandbytes.optim import PagedAdamW8bit  # not on machines without a GPU

        paged: Optimizer = PagedAdamW8bit(groups, lr=params.highest_learning_rate)
        return paged
    return AdamW(groups, lr=params.highest_learning_rate, fused=True)


def learning_rate(step: int, steps: int, params: TrainParams) -> float:
    """Rate of `step`, counted from 0, of `steps`: rises from the first step, is highest after the warm-up, falls towards 0.
    A range test rises exponentially from first to last.

    A pure function, so that a resumed run needs no scheduler state.
    """
    highest = params.highest_learning_rate
    if params.schedule == "range_test":
        return float(highest * RANGE_TEST_START ** (1 - step / max(steps - 1, 1)))
    warmup = math.ceil(params.warmup_share * steps)
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    falling = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
    return highest * falling[params.schedule]


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Its moments and counts, as `<number of the weight>.<name>`."""
    found = {}
    for number, weight in enumerate(_weights(optimizer)):
        for name, value in optimizer.state.get(weight, {}).items():
            tensor = torch.as_tensor(value)  # bitsandbytes counts steps without one
            found[f"{number}.{name}"] = tensor.clone() if name in SHARED else tensor
    return found


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave. Moments of eight bits are then in the GPU's own memory, no longer paged."""
    weights = _weights(optimizer)
    state: dict[int, dict[str, Tensor | int]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        is_count = tensor.ndim == 0 and not tensor.is_floating_point()
        value = int(tensor) if is_count else placed_like(tensor, weights[int(number)])
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _weights(optimizer: Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
