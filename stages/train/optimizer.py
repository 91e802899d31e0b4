"""AdamW, its learning rate, and its state as named tensors."""

import math
from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from stages.train.sharding import placed_like
from stages.train.stage import TrainParams

RANGE_TEST_START = 1e-5  # of the highest rate: five decades hold every rate that anybody trains with


def make_optimizer(weights: Iterable[nn.Parameter], params: TrainParams) -> AdamW:
    """AdamW that decays matrices and leaves norms and biases alone."""
    weights = list(weights)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=params.highest_learning_rate, fused=True)


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
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, tensors in state.items() for name, tensor in tensors.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = placed_like(tensor, weights[int(number)])
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
