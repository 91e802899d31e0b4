"""For an adapter that was trained on a base in four bits: which base is it better merged into, the stored or the four-bit one?"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from stages.merge.certificate import HeldOut
from stages.modelling.models import weight_files
from stages.modelling.nf4 import dequantise, quantise
from stages.modelling.tensor_files import TensorFile, TensorFolder

Z = 1.96  # of a normal distribution, 95 % lie within as many standard deviations
FEWEST_EXAMPLES = 5  # below, the spread between examples is anyone's guess


class FourBitFile(TensorFile):
    """A weight file some of whose tensors are what four bits make of them; a whole tensor is in memory for it."""

    def __init__(self, path: Path, names: Collection[str], transposed: Collection[str]) -> None:
        super().__init__(path)
        self.names, self.transposed = frozenset(names), frozenset(transposed)
        self._last: tuple[str, Tensor] | None = None

    def fill(self, rows: Tensor, name: str, start: int) -> None:
        if name not in self.names:
            super().fill(rows, name, start)
            return
        last = self._last
        if last is None or last[0] != name:
            weight = torch.empty(self.places[name].shape, dtype=rows.dtype)
            super().fill(weight, name, 0)
            weight = weight.T if name in self.transposed else weight
            four_bit = dequantise(quantise(weight), tuple(weight.shape), weight.dtype)
            last = self._last = (name, four_bit.T.contiguous() if name in self.transposed else four_bit)
        rows.copy_(last[1][start : start + len(rows)])


def four_bit_folder(
    base: Path, layers: Iterable[str], stored: Mapping[str, str], transposed: Collection[str]
) -> TensorFolder:
    """The base as the adapter's training saw it; `stored` maps the model's names of tensors to those of the files."""
    weights = {f"{layer}.weight" for layer in layers}
    names, turned = ({stored.get(name, name) for name in group} for group in (weights, transposed))
    folder = TensorFolder([])
    folder.files = [FourBitFile(path, names, turned) for path in weight_files(base)]
    folder.file_of = {name: file for file in folder.files for name in file.places}
    return folder


class Candidate(NamedTuple):
    """A merged model beside base and adapter as they were trained."""

    mean_kl: float  # nats, of what was trained from this
    losses: list[float]  # of each held-out example, summed over its supervised tokens; empty without examples


class Choice(NamedTuple):
    """The base that was chosen, and how sure that is."""

    merged_into: str
    chosen_because: str
    loss_difference: float | None  # nats per token that the stored base loses more than the one in four bits
    loss_difference_interval: float | None  # half of its 95 % interval, over examples pair by pair


def losses(pieces: Iterable[Tensor], held_out: HeldOut) -> list[float]:
    """The loss of each example, from logits that come some positions of all examples after the other."""
    done, sums, waiting = [0] * len(held_out.prompts), [0.0] * len(held_out.prompts), iter(pieces)
    while any(at < len(prompt) for at, prompt in zip(done, held_out.prompts, strict=True)):
        for number, (ids, counts) in enumerate(zip(held_out.prompts, held_out.counts, strict=True)):
            if done[number] < len(ids):
                logits, at = next(waiting), done[number]
                done[number] = at + len(logits)
                nexts = ids[at + 1 : done[number] + 1]
                each = cross_entropy(logits[: len(nexts)], nexts, reduction="none")
                sums[number] += float((each * counts[at + 1 : done[number] + 1]).sum())
    return sums


def choose(candidates: Mapping[str, Candidate], tokens: Sequence[int]) -> Choice:
    """The base with the lower loss on held-out examples of that many supervised tokens each, where the difference is
    larger than chance between examples; else the one that the adapter was trained on.

    The same examples on both sides: what one finds hard, both do. Source of the interval: ratio of paired sums, Cochran,
    "Sampling Techniques", 1977, chapter 6.
    """
    stored, four_bit, count = candidates["stored"].losses, candidates["four_bit"].losses, len(tokens)
    if not sum(tokens):
        return Choice("four_bit", "as trained: no held-out examples", None, None)
    more = [one - other for one, other in zip(stored, four_bit, strict=True)]
    mean = sum(more) / sum(tokens)
    spread = sum((found - mean * length) ** 2 for found, length in zip(more, tokens, strict=True))
    half = Z * math.sqrt(spread * count / max(count - 1, 1)) / sum(tokens)
    if abs(mean) <= half or count < FEWEST_EXAMPLES:
        return Choice("four_bit", "as trained: the losses differ no more than by chance", mean, half)
    return Choice("stored" if mean < 0 else "four_bit", "lower loss on held-out examples", mean, half)
