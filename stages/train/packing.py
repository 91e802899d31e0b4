"""Which examples share a pack, and which packs a step: a pure function of lengths, seed and epoch, so a resumed run agrees."""

from bisect import bisect_left, insort
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stages.train.stage import TrainParams

Pack = npt.NDArray[np.int64]  # positions of examples


def best_fit_decreasing(lengths: npt.NDArray[np.int64], capacity: int) -> list[Pack]:
    """Packs of at most `capacity` tokens: the longest first, each into the pack where the least room remains.

    Equal lengths keep their order. An example longer than `capacity` is alone in its pack. Needs at most 11/9 of the
    fewest packs possible, and one. Source: D. S. Johnson, "Near-optimal bin packing algorithms", 1973.
    """
    packs: list[list[int]] = []
    packs_with_room: dict[int, list[int]] = {}  # tokens of room -> packs
    rooms: list[int] = []  # the keys of packs_with_room, sorted
    for example in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[example])
        at = bisect_left(rooms, length)
        if at == len(rooms):
            packs.append([])
            pack, room = len(packs) - 1, capacity
        else:
            room = rooms[at]
            pack = packs_with_room[room].pop()
            if not packs_with_room[room]:
                del packs_with_room[room], rooms[at]
        packs[pack].append(example)
        left = max(room - length, 0)
        if left not in packs_with_room:
            insort(rooms, left)
        packs_with_room.setdefault(left, []).append(pack)
    return [np.asarray(pack, dtype=np.int64) for pack in packs]


def epoch_steps(
    lengths: npt.NDArray[np.int64], repeats: npt.NDArray[np.int64], params: TrainParams, epoch: int
) -> list[list[Pack]]:
    """The packs of each optimizer step of one epoch, in which every example stands `repeats` times.

    The packs are spread evenly over the steps, so that no epoch ends with a step of few tokens and a noisy gradient.
    """
    random = np.random.default_rng((params.seed, epoch))
    examples = random.permutation(np.repeat(np.arange(len(lengths)), repeats))
    packs = [examples[pack] for pack in best_fit_decreasing(lengths[examples], params.pack_tokens)]
    shuffled = [packs[pack] for pack in random.permutation(len(packs))]
    steps = -(-len(packs) // params.packs_per_step)
    cuts = np.linspace(0, len(packs), num=steps + 1).astype(int).tolist()
    return [shuffled[start:end] for start, end in pairwise(cuts)]


class StepOrder:
    """The packs of any step, whichever epoch it falls into. Every epoch has the same number of packs and steps."""

    def __init__(self, lengths: npt.NDArray[np.int64], repeats: npt.NDArray[np.int64], params: TrainParams) -> None:
        self._lengths, self._repeats, self._params = lengths, repeats, params
        self._epoch, self._steps = 0, epoch_steps(lengths, repeats, params, 0)

    @property
    def steps_per_epoch(self) -> int:
        return len(self._steps)

    @property
    def packs_per_epoch(self) -> int:
        return sum(len(packs) for packs in self._steps)

    def packs_of(self, step: int) -> list[Pack]:
        """The packs of `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, epoch_steps(self._lengths, self._repeats, self._params, epoch)
        return self._steps[position]
