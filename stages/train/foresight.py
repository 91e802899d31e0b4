"""The peak of memory that is expected of a run, told beside the one that it had: so an estimate that goes wrong is seen."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stages.processes.memory import peak_bytes, resident_bytes
from stages.train.batches import lay_out
from stages.train.examples import Examples
from stages.train.footprint import Footprint, Shape, find_footprint
from stages.train.packing import StepOrder

# Memory beyond the tensors, as a share of those that come and go: freed blocks that the allocator keeps, matrices packed
# anew inside products. Where nothing was rehearsed; on the bench models it was 0.2 with full and 0.5 with lora.
KEPT_SHARE = 0.45
# Weights in bytes times tokens of a pack: below it, the libraries take more than the training, and looking costs more too.
WORTH_FORESEEING = 10**10


class Foresight(NamedTuple):
    """Bytes of the process on a CPU, of the GPU's memory on a GPU."""

    expected_bytes: int | None  # None = not worth it, or the shapes of the model depend on its numbers

    def told(self, device: torch.device) -> dict[str, object]:
        """What the receipt says after the run; the error is a share of what was measured."""
        measured = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else peak_bytes()
        if self.expected_bytes is None:
            return {"measured_memory_bytes": measured}
        error = round(self.expected_bytes / measured - 1, 4)
        return {"measured_memory_bytes": measured, "expected_memory_bytes": self.expected_bytes, "expectation_error": error}  # fmt: skip


NOTHING_FORESEEN = Foresight(None)


def foresee(shape: Shape, train: Examples) -> Foresight:
    """Looks at the fullest pack of the first epoch; called before the weights are read."""
    order = StepOrder(train.lengths, train.repeats, shape.params)
    packs = [pack for step in range(order.steps_per_epoch) for pack in order.packs_of(step)]
    fullest = max(packs, key=lambda pack: int(train.lengths[pack].sum()))
    if not is_worth_foreseeing(shape.base, int(np.sum(train.lengths[fullest]))):
        return Foresight(None)
    batches = lay_out(train, [fullest], packing=shape.params.packing, pack_tokens=shape.params.pack_tokens)
    largest = max(batches, key=lambda batch: batch.input_ids.numel())
    try:
        found = find_footprint(shape, [largest], packs_per_step=min(shape.params.packs_per_step, len(packs)))
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return Foresight(None)  # what torch raises for shapes that it cannot know depends on the operation
    return Foresight(peak_of(found, shape.arithmetic.device.type, resident_bytes()))


def is_worth_foreseeing(base: Path, tokens: int) -> bool:
    """Whether a run whose largest forward pass has so many tokens looks at its footprint, which takes memory itself."""
    return weight_bytes(base) * tokens >= WORTH_FORESEEING


def peak_of(footprint: Footprint, device: str, process: int, kept_share: float = KEPT_SHARE) -> int:
    """Tensors, what the allocator keeps beyond them, and on a CPU all else that is in the process."""
    kept = round(kept_share * (footprint.activations + footprint.loss))
    return footprint.bytes + kept + (process if device == "cpu" else 0)


def weight_bytes(base: Path) -> int:
    """Of the files; nothing in them is read, and what is wrong with them is said when they are."""
    return sum(path.stat().st_size for path in base.glob("*.safetensors"))
