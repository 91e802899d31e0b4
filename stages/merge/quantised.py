"""For an adapter that was trained on a base in four bits: which base is it better merged into, the stored or the four-bit one?"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from stages.merge.certificate import Comparison, compare
from stages.models import weight_files
from stages.nf4 import dequantise, quantise
from stages.tensor_files import TensorFile, TensorFolder


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


def four_bit_folder(base: Path, layers: Iterable[str], inner_model: str, transposed: Collection[str]) -> TensorFolder:
    """The base as the adapter's training saw it."""
    weights = {f"{layer}.weight" for layer in layers}
    names = weights | {name.removeprefix(f"{inner_model}.") for name in weights}
    turned = set(transposed) | {name.removeprefix(f"{inner_model}.") for name in transposed}
    folder = TensorFolder([])
    folder.files = [FourBitFile(path, names, turned) for path in weight_files(base)]
    folder.file_of = {name: file for file in folder.files for name in file.places}
    return folder


class Candidate(NamedTuple):
    """A merged model beside base and adapter as they were trained."""

    to_trained: Comparison
    loss: float | None  # mean over the prompts' tokens but the first of each; None without examples


def measure(
    trained: Sequence[Tensor], merged: Sequence[Tensor], prompts: Sequence[Tensor], *, is_text: bool
) -> Candidate:
    """`trained` and `merged` are logits of each prompt, whole."""
    loss = None
    if is_text:
        parts = [
            cross_entropy(logits[:-1], ids[1:], reduction="sum") for logits, ids in zip(merged, prompts, strict=True)
        ]
        loss = float(torch.stack(parts).sum()) / max(sum(len(ids) - 1 for ids in prompts), 1)
    return Candidate(compare(trained, merged), loss)


def better(candidates: dict[str, Candidate]) -> str:
    """The one with the lower loss on held-out text, or without text the one that is closer to what was trained."""
    return min(
        candidates,
        key=lambda n: candidates[n].to_trained.mean_kl if candidates[n].loss is None else candidates[n].loss or 0.0,
    )


def by_prompt(pieces: Iterable[Tensor], prompts: Sequence[Tensor]) -> list[Tensor]:
    """Logits that came some positions of all prompts after the other, put together prompt by prompt."""
    parts: list[list[Tensor]] = [[] for _ in prompts]
    waiting = iter(pieces)
    while any(sum(map(len, found)) < len(prompt) for found, prompt in zip(parts, prompts, strict=True)):
        for found, prompt in zip(parts, prompts, strict=True):
            if sum(map(len, found)) < len(prompt):
                found.append(next(waiting))
    return [torch.cat(found) for found in parts]
