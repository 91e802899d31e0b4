"""What a training run will take, before any weight of its base is read: data, steps, memory by part, time."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stages.modelling.models import load_config
from stages.modelling.tokenizer_files import open_tokenizer
from stages.processes.memory import resident_bytes
from stages.train.arithmetic import choose_arithmetic
from stages.train.footprint import Footprint, Shape, find_footprint
from stages.train.foresight import KEPT_SHARE, is_worth_foreseeing, peak_of
from stages.train.job import read_splits, refuse_unfit_splits
from stages.train.rehearsal import TIMED_STEPS, Pace, rehearse
from stages.train.stage import TrainParams
from stages.train.workload import Workload, count_work


class TrainingPlan(NamedTuple):
    """All of it; bytes and seconds."""

    params: TrainParams
    model: str  # its class, by its config
    device: str
    precision: str
    work: Workload
    footprint: Footprint | None  # None = the shapes of this model depend on its numbers
    process_bytes: int  # interpreter, libraries and examples, measured in this process, which loaded the same
    start_seconds: float  # CPU time until the first weight would be read, measured in the same way
    pace: Pace | None

    @property
    def peak_bytes(self) -> int | None:
        """Of the process on a CPU; of the GPU's memory on a GPU."""
        if self.footprint is None:
            return None
        share = KEPT_SHARE if self.pace is None else self.pace.kept_share
        return peak_of(self.footprint, self.device, self.process_bytes, share)

    def seconds(self, *, cpu: bool = False) -> float | None:
        """Of the whole run; with `cpu`, CPU seconds."""
        if self.pace is None:
            return None
        pace = self.pace
        token, update, proof = (
            (pace.cpu_seconds_per_token, pace.optimizer_cpu_seconds, pace.proof_cpu_seconds)
            if cpu
            else (pace.seconds_per_token, pace.optimizer_seconds, pace.proof_seconds)
        )
        # A forward pass is a third of forward and backward. Source: Kaplan et al., 2020, section 2.1.
        passes = self.work.tokens + self.work.validation_tokens / 3
        return self.start_seconds + proof + passes * token + self.work.steps * update


def make_plan(inputs: Mapping[str, Path], params: TrainParams, *, with_time: bool = True) -> TrainingPlan:
    """The plan of `python -m stages run train` with the same inputs and parameters. Raises what the run would raise."""
    splits = read_splits(inputs["examples"], params)
    base = inputs["base"]
    tokenizer = open_tokenizer(inputs.get("tokenizer", base))
    arithmetic = choose_arithmetic(torch.device("cuda" if torch.cuda.is_available() else "cpu"), params)
    work = count_work(*splits, params, sample=TIMED_STEPS)
    config = load_config(base)
    process_bytes, start_seconds = resident_bytes(), time.process_time()
    shape = Shape(base, tokenizer, params, arithmetic)
    footprint, pace = None, None
    try:
        refuse_unfit_splits(splits, shape.build(torch.device("meta")), params.virtual_token_count)
        footprint = find_footprint(
            shape, [work.largest], packs_per_step=min(params.packs_per_step, work.packs_per_epoch)
        )
        if is_worth_foreseeing(base, work.largest.tokens):
            # The run looks at its footprint too, and keeps what that has loaded.
            process_bytes, start_seconds = resident_bytes(), time.process_time()
        if with_time:
            first = find_footprint(shape, work.first[:1], packs_per_step=1)
            pace = rehearse(shape, work.first, first, splits[0])
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        pass  # what torch raises for shapes that it cannot know depends on the operation
    return TrainingPlan(
        params, (config.architectures or [type(config).__name__])[0], arithmetic.device.type,
        str(arithmetic.dtype).removeprefix("torch."), work, footprint, process_bytes, start_seconds, pace,
    )  # fmt: skip


def facts(plan: TrainingPlan) -> dict[str, Any]:
    """The plan as JSON."""
    work = plan.work
    counted = {name: value for name, value in work._asdict().items() if isinstance(value, int | float)}
    footprint = plan.footprint._asdict() if plan.footprint else None
    return {
        "method": plan.params.method, "objective": plan.params.objective, "model": plan.model, "device": plan.device,
        "precision": plan.precision, **counted, "epochs": work.epochs, "memory": footprint,
        "process_bytes": plan.process_bytes, "peak_bytes": plan.peak_bytes, "seconds": plan.seconds(),
        "cpu_seconds": plan.seconds(cpu=True), "start_seconds": plan.start_seconds,
        "pace": plan.pace._asdict() if plan.pace else None,
    }  # fmt: skip
