"""Writes the merged weights file by file, with the memory of a few blocks of rows, and measures what rounding took."""

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import count
from math import isfinite, prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stages.contract import Progress
from stages.errors import DataError
from stages.merge.changes import BLOCK_ELEMENTS, Change, Replaced, Scaled
from stages.merge.deltas import Adapter
from stages.modelling.models import INDEX
from stages.modelling.tensor_files import (
    NAMES,
    TYPES,
    Float32Rows,
    NewTensor,
    Place,
    TensorFile,
    TensorFolder,
    copied,
    write_tensors,
)

FLOATS = ("F32", "F16", "BF16")


class Rounding(NamedTuple):
    """What the precision of the base takes from a change, in the Euclidean norm."""

    change: float  # length of the change
    lost: float  # length of the difference between the exact result and the stored one

    @property
    def share(self) -> float:
        """Lost part of the change; 0 where nothing changed."""
        return self.lost / self.change if self.change else 0.0


def match_names(adapter: Adapter, stored: Mapping[str, str], added: Collection[str]) -> Adapter:
    """The adapter under the names of the base's files; `stored` maps the model's names to them.

    `added` are tensors that the base need not have. DataError when another one has no counterpart: left out silently, the
    adapter would be without effect.
    """
    # A layer whose outputs are scaled may have no bias to be scaled with.
    optional = {n for n, c in adapter.changes.items() if isinstance(c, Scaled) and c.scales.ndim == 1}
    if unknown := sorted(set(adapter.changes) - stored.keys() - set(added) - optional):
        raise DataError(
            f"{len(unknown)} of the {len(adapter.changes)} tensors that the adapter changes are not in the base (first: "
            f"{unknown[0]}); give the base that the adapter was trained on"
        )
    kept = {stored.get(name, name): c for name, c in adapter.changes.items() if name in stored or name in added}
    return adapter._replace(changes=kept)


def write_merged(
    base: TensorFolder, adapter: Adapter, folder: Path, *, progress: Progress, threads: int = 1
) -> dict[str, Rounding]:
    """Writes each weight file of the base with the adapter's changes; tensors new to the base go into the last.

    Gives the rounding of each tensor that changed. DataError when a change does not fit its tensor.
    """
    new = {name: change for name, change in adapter.changes.items() if name not in base}
    roundings: dict[str, list[tuple[float, float]]] = {}
    places: dict[str, str] = {}
    total_bytes, numbers = 0, count(1)
    every = sum(len(file.places) for file in base.files) + len(new)
    for file in base.files:
        tensors = {
            name: _merged(file, name, adapter.changes[name], roundings)
            if name in adapter.changes
            else copied(file, name)
            for name in file.places
        }
        if file is base.files[-1]:
            dtype = next(place.dtype for place in file.places.values() if place.dtype in FLOATS)
            tensors |= {name: _new(change, dtype) for name, change in new.items() if isinstance(change, Replaced)}
        total_bytes += write_tensors(
            folder / file.path.name, tensors, file.metadata or {"format": "pt"}, threads=threads,
            wrote=lambda: progress(next(numbers), every, "tensors"),
        )  # fmt: skip
        places |= dict.fromkeys(tensors, file.path.name)
    if len(base.files) > 1 or (base.files[0].path.parent / INDEX).is_file():
        index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return {
        name: Rounding(*(sum(part[i] for part in parts) ** 0.5 for i in (0, 1)))
        for name, parts in sorted(roundings.items())
        if parts
    }


def _merged(file: TensorFile, name: str, change: Change, roundings: dict[str, list[tuple[float, float]]]) -> NewTensor:
    """The tensor that the change makes, in the precision of the base."""
    place = file.places[name]
    shape = _shape_after(name, place, change)
    dtype, parts = TYPES[place.dtype], roundings.setdefault(name, [])

    def pieces() -> Iterator[Tensor]:
        rows = shape[0] if change.needs_whole else max(1, BLOCK_ELEMENTS // max(prod(shape[1:]), 1))
        reader, merge = Float32Rows(file), change.begin()
        # Used again for each block: clearing new memory takes longer than filling it.
        memory, spare = torch.empty(rows, *shape[1:], dtype=dtype), torch.empty(rows, *shape[1:])
        for start in range(0, shape[0], rows):
            stop = min(start + rows, shape[0])
            stored, before = reader.read(name, start, stop) if change.needs_base else (None, spare)
            exact = merge(before, start, stop)
            rounded = memory[: stop - start].copy_(exact)
            if stored is not None and dtype != torch.float32:
                lengths = _squared_distance(stored, exact, spare), _squared_distance(rounded, exact, spare)
                _refuse_overflow(name, place.dtype, lengths)
                parts.append(lengths)
            yield rounded

    return NewTensor(place.dtype, shape, pieces)


def _shape_after(name: str, place: Place, change: Change) -> tuple[int, ...]:
    if place.dtype not in FLOATS:
        raise DataError(
            f"the adapter changes {name}, which the base stores as {place.dtype}; give the 16 or 32 bit base"
        )
    try:
        return change.shape_after(place.shape)
    except ValueError as error:
        raise DataError(
            f"the adapter changes {name} by {error}, and the base has {list(place.shape)}; give the base that the adapter "
            f"was trained on"
        ) from error


def _refuse_overflow(name: str, dtype: str, lengths: tuple[float, float]) -> None:
    if not all(map(isfinite, lengths)):
        raise DataError(
            f"merged, {name} holds numbers that {dtype} cannot, so the adapter's update is too large for this base; "
            f"convert the base to bfloat16 or float32, or serve the adapter unmerged"
        )


def _squared_distance(rounded: Tensor, exact: Tensor, spare: Tensor) -> float:
    difference = spare[: len(exact)].copy_(rounded).sub_(exact).flatten()
    return float(torch.dot(difference, difference))


def _new(change: Replaced, dtype: str) -> NewTensor:
    def pieces() -> Iterator[Tensor]:
        rows = max(1, BLOCK_ELEMENTS // max(prod(change.shape[1:]), 1))
        for start in range(0, change.shape[0], rows):
            yield change.read(start, min(start + rows, change.shape[0])).to(TYPES[dtype])

    return NewTensor(NAMES[TYPES[dtype]], change.shape, pieces)
