"""The gradient of one step: of the mean over all its supervised tokens, however they fall into batches and processes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stages.errors import ConfigError
from stages.train.arithmetic import Arithmetic
from stages.train.batches import Batch, halved
from stages.train.examples import Examples
from stages.train.loss import loss_sum
from stages.train.methods import Trainable, causal_model
from stages.train.team import Team

logger = logging.getLogger(__name__)


class Forward(nn.Module):
    """Does anything with the model as one forward pass of one module, in the run's arithmetic.

    The loss calls parts of a model, never the model; whoever hooks into a forward pass, as sharding does, hooks in here.
    """

    def __init__(self, model: Trainable, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.model, self.arithmetic = model, arithmetic

    def forward(self, work: Callable[[PreTrainedModel], Any]) -> Any:
        with self.arithmetic.autocast():
            return work(causal_model(self.model))

    def loss_sum(self, batch: Batch) -> Tensor:
        """Weighted sum of the losses of the batch's supervised tokens."""
        there = batch.to(self.arithmetic.device)
        loss: Tensor = self(lambda model: loss_sum(model, there))
        return loss


class Gradients:
    """Adds up gradients batch by batch. Memory that does not suffice halves the batches, never the step."""

    def __init__(self, forward: Forward, weights: Mapping[str, nn.Parameter], examples: Examples, team: Team) -> None:
        self.forward, self.weights, self.examples, self.team = forward, weights, examples, team
        self.halvings = 0

    def add_up(self, batches: Sequence[Batch], seed: int) -> Tensor:
        """Leaves the gradient of the step's mean loss in the weights; the loss sum of each batch of all processes.

        Each batch is divided by the weight of the whole step, never by its own, so it does not matter how the tokens fall
        into batches. `seed` decides dropout.
        """
        weight = sum(batch.weight for batch in batches)
        mine = self.team.share(batches)
        while (losses := self._try(mine, weight, seed)) is None:
            self._halve(mine)
        self.team.sum_gradients(self.weights.values())
        return self.team.gather(losses, len(batches))

    @torch.no_grad()
    def losses(self, batches: Sequence[Batch], told: Callable[[int, int], None]) -> Tensor:
        """The loss sum of each batch of all processes, without a gradient; `told` hears how many of how many are done."""
        mine, found = self.team.share(batches), list[Tensor]()
        for batch in mine:
            found.append(self.forward.loss_sum(batch))
            told(len(found), len(mine))
        return self.team.gather(found, len(batches))

    def clear(self) -> None:
        """Forgets the gradient."""
        for weight in self.weights.values():
            weight.grad = None

    def _try(self, batches: Sequence[Batch], weight: float, seed: int) -> list[Tensor] | None:
        """None when the memory of the GPU did not suffice."""
        torch.manual_seed(seed)
        try:
            return [self._backward(batch, weight) for batch in batches]
        except torch.OutOfMemoryError:
            if self.team.is_sharded:  # the others are in the middle of a pass that they can only finish together
                raise
        return None

    def _backward(self, batch: Batch, weight: float) -> Tensor:
        parts, losses = [batch], []
        for _ in range(self.halvings):
            parts = [half for part in parts for half in halved(self.examples, part)]
        for part in parts:
            loss = self.forward.loss_sum(part)
            torch.autograd.backward(loss / weight)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _halve(self, batches: Sequence[Batch]) -> None:
        """Starts the step again with half the batch; ConfigError when a batch cannot be smaller."""
        self.clear()
        self.halvings += 1
        if self.team.device.type == "cuda":
            torch.cuda.empty_cache()
        if all(len(batch.members) <= 2 ** (self.halvings - 1) for batch in batches):
            raise ConfigError(
                f"the memory of {self.team.device} does not suffice for one example of a batch, the longest of "
                f"{max(batch.tokens for batch in batches):,} tokens; set gradient_checkpointing=true, or a smaller "
                f"max_tokens in tokenize"
            )
        logger.warning(
            "out of memory on %s: from here each batch is computed in %d parts; the effective batch is the same",
            self.team.device, 2**self.halvings,
        )  # fmt: skip
