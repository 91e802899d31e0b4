"""What a run will do, counted by the functions that the run itself calls, before any weight is read."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from stages.train.batches import Batch, lay_out
from stages.train.examples import Examples
from stages.train.packing import StepOrder, best_fit_decreasing
from stages.train.stage import TrainParams


class Workload(NamedTuple):
    """Tokens are counted with repeats, padding left out."""

    examples: int
    epoch_tokens: int
    epoch_supervised: int
    packs_per_epoch: int
    steps_per_epoch: int
    steps: int
    tokens: int  # of the whole run
    supervised: int
    pack_fill: float  # share of the packs' capacity that holds tokens
    largest: Batch  # the forward pass that takes most memory
    first: tuple[Batch, ...]  # the first of the run
    validation_tokens: int  # of all validations of the run

    @property
    def epochs(self) -> float:
        return self.steps / self.steps_per_epoch


def count_work(train: Examples, validation: Examples, params: TrainParams, *, sample: int) -> Workload:
    """Packs one epoch as the run will; `sample` of its batches are kept to be timed."""
    order = StepOrder(train.lengths, train.repeats, params)
    steps = planned_steps(order, params)
    batches = list(_batches(train, order, params))
    rest = [order.packs_of(step) for step in range(steps - steps % order.steps_per_epoch, steps)]
    epoch = np.array([(batch.tokens, batch.supervised) for batch in batches]).sum(axis=0)
    lone = np.concatenate([np.concatenate(packs) for packs in rest]) if rest else np.empty(0, dtype=np.int64)
    targets = np.add.reduceat(train.is_target, train.starts[:-1], dtype=np.int64)
    last = np.array([train.lengths[lone].sum(), targets[lone].sum()])
    whole = epoch * (steps // order.steps_per_epoch) + last
    capacity = order.packs_per_epoch * params.pack_tokens
    return Workload(
        examples=len(train), epoch_tokens=int(epoch[0]), epoch_supervised=int(epoch[1]), packs_per_epoch=order.packs_per_epoch,
        steps_per_epoch=order.steps_per_epoch, steps=steps, tokens=int(whole[0]), supervised=int(whole[1]),
        pack_fill=float(epoch[0] / capacity), largest=max(batches, key=lambda b: (b.input_ids.numel(), b.supervised)),
        first=tuple(islice(batches, sample)), validation_tokens=_validation_tokens(validation, steps, params),
    )  # fmt: skip


def planned_steps(order: StepOrder, params: TrainParams) -> int:
    """How many optimizer steps a run takes unless it stops early."""
    return params.max_steps or params.epochs * order.steps_per_epoch


def _batches(train: Examples, order: StepOrder, params: TrainParams) -> Iterator[Batch]:
    for step in range(order.steps_per_epoch):
        yield from lay_out(train, order.packs_of(step), packing=params.packing, pack_tokens=params.pack_tokens)


def _validation_tokens(validation: Examples, steps: int, params: TrainParams) -> int:
    """Once at the end, and as often as was asked for before."""
    if not len(validation):
        return 0
    every = params.validate_every_steps
    times = 1 if every is None else -(-steps // every)
    packs = best_fit_decreasing(validation.lengths, params.pack_tokens)
    return times * int(sum(validation.lengths[pack].sum() for pack in packs))
