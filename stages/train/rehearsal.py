"""How long a training step takes here, timed on random weights of the model's own shape before the real ones are read."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import torch

from stages.modelling.models import repeatable
from stages.processes.memory import forget_peak, peak_bytes, resident_bytes
from stages.train.batches import Batch
from stages.train.examples import Examples
from stages.train.footprint import Footprint, Shape, find_footprint
from stages.train.gradients import Forward, Gradients
from stages.train.methods import trained_weights
from stages.train.optimizer import choose_optimizer, make_optimizer
from stages.train.proofs import prove
from stages.train.team import alone

# A model that needs more is cut to its first layers, and the time is scaled by arithmetic.
MOST_BYTES, MOST_FLOPS = 2**31, 10**12
CUTS = (None, 2, 1)  # layers kept; None = all
TIMED_STEPS = 3


class Pace(NamedTuple):
    """What was timed: seconds of this machine as it is now, and CPU seconds, which other work disturbs less."""

    seconds_per_token: float  # forward and backward
    cpu_seconds_per_token: float
    optimizer_seconds: float  # a step
    optimizer_cpu_seconds: float
    proof_seconds: float  # before the first step
    proof_cpu_seconds: float
    layers: int | None  # that were timed; None = the whole model
    kept_share: float  # memory beyond the tensors, as a share of those that come and go in a step


def rehearse(shape: Shape, batches: Sequence[Batch], whole: Footprint, train: Examples) -> Pace:
    """Takes a step over each of the run's own first `batches`, after one that warms up, and proves what the run will prove
    on `train`; `whole` is of the first batch."""
    layers, cut = None, whole
    for layers in CUTS:
        cut = whole if layers is None else find_footprint(shape, batches[:1], packs_per_step=1, layers=layers)
        if cut.bytes <= MOST_BYTES and cut.flops <= MOST_FLOPS:
            break
    grown = -_held(shape.arithmetic.device)
    with repeatable(shape.params.cpu_threads):
        timings = _timed(shape, batches, layers, train)
    grown += _held_at_most(shape.arithmetic.device)
    kept = max(grown - cut.bytes, 0) / (cut.activations + cut.loss)
    scale = whole.flops / cut.flops
    weights = whole.trained_weights / max(cut.trained_weights, 1)
    forward_backward = [
        [t / batch.tokens * scale for t, batch in zip(clock, batches, strict=False)] for clock in timings[0]
    ]
    return Pace(median(forward_backward[0]), median(forward_backward[1]),
                min(timings[1][0]) * weights, min(timings[1][1]) * weights,
                timings[2][0] * scale, timings[2][1] * scale, layers, kept)  # fmt: skip


Clocks = tuple[list[float], list[float]]  # wall seconds, CPU seconds


def _timed(
    shape: Shape, batches: Sequence[Batch], layers: int | None, train: Examples
) -> tuple[Clocks, Clocks, tuple[float, float]]:
    trained = shape.build(shape.arithmetic.device, layers)
    weights = trained_weights(trained)
    optimizer = make_optimizer(weights.values(), shape.params, choose_optimizer(shape.params, shape.arithmetic.device))
    forward = Forward(trained.train(), shape.arithmetic)

    def learn(batch: Batch) -> None:
        torch.autograd.backward(forward.loss_sum(batch) / batch.weight)

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    learning: Clocks = ([], [])
    updating: Clocks = ([], [])
    for number, batch in enumerate([batches[0], *batches]):
        for work, clocks in ((lambda b=batch: learn(b), learning), (update, updating)):
            for clock, seconds in zip(clocks, _seconds(work), strict=True):
                if number:  # the first allocates, and makes the optimizer's moments
                    clock.append(seconds)
    optimizer.state.clear()  # a run proves before it has moments, and they would be added to the peak of the proofs
    trained.eval()
    gradients = Gradients(forward, weights, train, alone(shape.arithmetic.device))
    return learning, updating, _seconds(lambda: prove(gradients, train, shape.params, shape.arithmetic.dtype))


def _held(device: torch.device) -> int:
    """Bytes that are taken before the first step; from here the peak is counted anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_reserved(device)
    forget_peak()
    return resident_bytes()


def _held_at_most(device: torch.device) -> int:
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else peak_bytes()


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu
