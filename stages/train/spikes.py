"""Losses out of the ordinary, and the rows that they come from."""

import logging
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stages.train.batches import Batch, padded
from stages.train.examples import Examples
from stages.train.gradients import Forward

REMEMBERED = 200  # losses of batches
ENOUGH = 20  # of them, before any is called out of the ordinary
DEVIATIONS = 8.0  # above the median, in deviations of a normal distribution; one in 10^15 of that
SMALLEST_SHARE = 0.25  # above the median, so that losses which hardly differ at all do not count as spikes
NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
ROWS_TOLD, SPIKES_TOLD = 3, 20

logger = logging.getLogger(__name__)


class SpikeWatch:
    """Says which rows a batch with an unusual loss holds, the worst first. Only looks: nothing that it does is kept."""

    def __init__(self, forward: Forward, examples: Examples, *, is_alone: bool) -> None:
        """`is_alone`: one process can compute a loss without the others."""
        self.forward, self.examples, self.is_alone = forward, examples, is_alone
        self.recent: deque[float] = deque(maxlen=REMEMBERED)
        self.told = 0

    def look(self, step: int, batches: Sequence[Batch], losses: Tensor) -> None:
        """`losses` are sums over each batch's supervised tokens, before the weights changed."""
        means = [loss / batch.weight for loss, batch in zip(losses.tolist(), batches, strict=True)]
        limit = self.limit()
        for mean, batch in zip(means, batches, strict=True):
            if mean > limit and self.told < SPIKES_TOLD:
                self._tell(step, mean, batch)
        self.recent.extend(means)

    def limit(self) -> float:
        """The highest loss that is nothing special."""
        if len(self.recent) < ENOUGH:
            return float("inf")
        median = float(np.median(self.recent))
        spread = NORMAL * float(np.median(np.abs(np.asarray(self.recent) - median)))
        return median + max(DEVIATIONS * spread, SMALLEST_SHARE * median)

    def _tell(self, step: int, mean: float, batch: Batch) -> None:
        self.told += 1
        worst = (
            []
            if not self.is_alone
            else [f"{self.examples.row_ids[member]} ({loss:.3g})" for loss, member in self._worst(batch)]
        )
        rows = (
            f"highest in rows {', '.join(worst)}" if self.is_alone else f"in rows {self.examples.named(batch.members)}"
        )
        logger.warning(
            "step %d: the loss of a batch is %.3g, and %.3g is usual; %s%s",
            step, mean, float(np.median(self.recent)), rows,
            "; further ones are not told" if self.told == SPIKES_TOLD else "",
        )  # fmt: skip

    @torch.no_grad()
    def _worst(self, batch: Batch) -> list[tuple[float, int]]:
        """Mean loss and place of the examples that the model, as it is now, finds hardest."""
        was_training = self.forward.training
        self.forward.eval()
        found = []
        for member in dict.fromkeys(batch.members.tolist()):
            one = padded(self.examples, np.asarray([member]))
            found.append((float(self.forward.loss_sum(one)) / one.weight, member))
        self.forward.train(was_training)
        return sorted(found, reverse=True)[:ROWS_TOLD]
