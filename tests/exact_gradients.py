"""The reference that training is compared with: plain, slow, in float64, and written without a line of the stage's loss."""

import copy
from typing import NamedTuple

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy

from stages.modelling.models import quiet_peft
from stages.train.arithmetic import Arithmetic
from stages.train.batches import Batch
from stages.train.examples import Examples
from stages.train.gradients import Forward, Gradients
from stages.train.methods import Trainable, causal_model, trained_weights
from stages.train.team import Team, alone

CPU = torch.device("cpu")
ALONE = alone(CPU)


class Found(NamedTuple):
    """Mean loss of a step and its gradient."""

    loss: float
    gradient: dict[str, Tensor]


def by_hand(model: Trainable, examples: Examples) -> Found:
    """Weighted mean over all supervised tokens: each example alone, all logits, in float64, one division."""
    with quiet_peft():
        exact = copy.deepcopy(model).double().eval()
    total, count = torch.zeros((), dtype=torch.float64), 0.0
    for start, end, weight in zip(examples.starts[:-1], examples.starts[1:], examples.weights.tolist(), strict=True):
        ids = torch.from_numpy(examples.input_ids[start:end].astype("int64"))
        target = torch.from_numpy(examples.is_target[start:end].copy())
        logits = causal_model(exact)(input_ids=ids[None], use_cache=False).logits[0]
        losses = cross_entropy(logits[:-1], ids[1:], reduction="none")
        total, count = total + weight * losses[target[1:]].sum(), count + weight * int(target[1:].sum())
    (total / count).backward()
    return Found(float(total.detach()) / count, _gradient(exact))


def by_step(model: Trainable, batches: list[Batch], examples: Examples, team: Team = ALONE) -> Found:
    """What a training step finds with these batches."""
    gradients = make_gradients(copy.deepcopy(model), examples, team)
    losses = gradients.add_up(batches, seed=0)
    return Found(float(losses.sum()) / sum(batch.weight for batch in batches), _gradient(gradients.forward.model))


def make_gradients(model: Trainable, examples: Examples, team: Team = ALONE) -> Gradients:
    return Gradients(Forward(model, Arithmetic(CPU, torch.float32)), trained_weights(model), examples, team)


def _gradient(model: Trainable) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in trained_weights(model).items() if weight.grad is not None}


def norm(found: Found) -> float:
    return float(torch.cat([gradient.flatten() for gradient in found.gradient.values()]).norm())


def difference(found: Found, expected: Found) -> float:
    """Largest of loss and gradient, relative to their sizes."""
    assert found.gradient.keys() == expected.gradient.keys()
    apart = sum(
        float((found.gradient[n].double() - expected.gradient[n].double()).square().sum()) for n in found.gradient
    )
    return max(abs(found.loss - expected.loss) / expected.loss, float(apart**0.5) / norm(expected))


def randomised_adapter(adapted: PeftModel, seed: int = 0) -> PeftModel:
    """With updates that are not zero, as they are at the start: half of their gradients would be zero too."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in trained_weights(adapted).values():
            weight.add_(torch.randn(weight.shape, generator=random) * 0.1)
    return adapted
