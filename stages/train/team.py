"""The processes that share every step, each with a part of the packs: what they tell each other, and nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from stages.train.batches import Batch

Value = TypeVar("Value")


@dataclass(frozen=True)
class Team:
    """`size` processes, of which this is number `rank`; number 0 logs, saves and answers for the others."""

    rank: int
    size: int
    device: torch.device
    is_sharded: bool = False  # each process holds a share of every weight; else each holds the whole model

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, batches: Sequence[Batch]) -> list[Batch]:
        """This process's batches. Sharded processes need each other in every pass, so they get equally many."""
        mine = list(batches[self.rank :: self.size])
        missing = -(-len(batches) // self.size) - len(mine) if self.is_sharded else 0
        return mine + [batches[0].silent()] * missing

    def gather(self, values: Sequence[Tensor], count: int) -> Tensor:
        """One number per batch, from all processes, in the order of the `count` batches: the same bits everywhere."""
        if self.size == 1:
            return torch.stack(list(values))
        rows = -(-count // self.size)
        mine = torch.zeros(rows, device=self.device)
        mine[: len(values)] = torch.stack(list(values)) if values else 0
        columns = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(columns, mine)
        return torch.stack(columns, dim=1).flatten()[:count]

    def sum_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Adds up what every process has found; the loss was divided by the count of them all, so there is no mean to take."""
        if self.size == 1 or self.is_sharded:
            return
        weights = list(weights)
        for weight in weights:
            if weight.grad is None:  # an expert that no token of this process reached
                weight.grad = torch.zeros_like(weight)
        for work in [distributed.all_reduce(weight.grad, async_op=True) for weight in weights]:
            work.wait()

    def agree(self, value: Value) -> Value:
        """What the main process says, in every process. `value` is small."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told, src=0, device=self.device)
        return told[0]


def alone(device: torch.device) -> Team:
    """A team of one."""
    return Team(0, 1, device)
