"""What an adapter makes of one tensor of its base, block of rows by block of rows, in float32."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

BLOCK_ELEMENTS = 2**17  # 512 KiB in float32: all that is made of a block stays in a core's own cache

Read = Callable[[], Tensor]  # a small tensor of the adapter
ReadRows = Callable[[int, int], Tensor]  # rows of a tensor of the adapter
Rows = Callable[[Tensor, int, int], Tensor]  # rows of the base in float32, from, to -> the merged rows in float32


class Change(Protocol):
    """Rows are those of the tensor as the base stores it."""

    @property
    def needs_whole(self) -> bool:
        """Whether a block must hold all rows."""
        ...

    @property
    def needs_base(self) -> bool:
        """Whether the merged rows hang on those of the base."""
        ...

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the merged tensor; ValueError says why the base's does not fit."""
        ...

    def begin(self) -> Rows:
        """Reads the adapter's part, once for all blocks; what it gives may overwrite the rows that it is given."""
        ...


class LowRank(NamedTuple):
    """W + scaling * up @ down, and with `magnitude` each output's weights then have that length (DoRA)."""

    down: Read  # rank x in
    up: Read  # out x rank
    shape: tuple[int, int]  # out, in
    scaling: float
    is_transposed: bool  # the base stores in x out
    magnitude: Read | None = None  # out
    needs_base: bool = True

    @property
    def needs_whole(self) -> bool:
        return self.magnitude is not None and self.is_transposed

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        return _fitting(self.shape[::-1] if self.is_transposed else self.shape, before)

    def begin(self) -> Rows:
        down, up = self.down().float(), self.up().float()
        left, right = (down.T.contiguous(), up.T.contiguous()) if self.is_transposed else (up, down)
        magnitude = None if self.magnitude is None else self.magnitude().float().flatten()

        def rows(weight: Tensor, start: int, stop: int) -> Tensor:
            weight.addmm_(left[start:stop], right, alpha=self.scaling)
            if magnitude is None:
                return weight
            if self.is_transposed:
                return weight.mul_(magnitude / torch.linalg.vector_norm(weight, dim=0))
            return weight.mul_((magnitude[start:stop] / torch.linalg.vector_norm(weight, dim=1))[:, None])

        return rows


class Scaled(NamedTuple):
    """Each input or output of a layer times a number (IA3)."""

    scales: Tensor  # 1 x columns or rows x 1 of the tensor as stored; one dimension for a bias
    needs_whole: bool = False
    needs_base: bool = True

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        if len(before) != self.scales.ndim or any(
            s not in (1, b) for s, b in zip(self.scales.shape, before, strict=True)
        ):
            raise ValueError(f"scales of {list(self.scales.shape)}")
        return before

    def begin(self) -> Rows:
        scales = self.scales.float()
        return lambda rows, start, stop: rows.mul_(scales[start:stop] if len(scales) > 1 else scales)


class Shifted(NamedTuple):
    """A bias plus a trained one."""

    added: Tensor
    scaling: float
    needs_whole: bool = False
    needs_base: bool = True

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        return _fitting(tuple(self.added.shape), before)

    def begin(self) -> Rows:
        added = self.scaling * self.added.float()
        return lambda rows, start, stop: rows.add_(added[start:stop])


class Replaced(NamedTuple):
    """Another tensor altogether, trained beside; it may have more rows."""

    shape: tuple[int, ...]
    read: ReadRows
    needs_whole: bool = False
    needs_base: bool = False

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        return _fitting(self.shape[1:], before[1:], whole=self.shape)

    def begin(self) -> Rows:
        return lambda _, start, stop: self.read(start, stop).float()


class Upon(NamedTuple):
    """A change of a tensor that was itself replaced: PEFT saves an embedding matrix beside the update that lies on it."""

    replaced: Replaced
    change: Change
    needs_base: bool = False

    @property
    def needs_whole(self) -> bool:
        return self.change.needs_whole

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        return self.change.shape_after(self.replaced.shape_after(before))

    def begin(self) -> Rows:
        replace, alter = self.replaced.begin(), self.change.begin()
        return lambda rows, start, stop: alter(replace(rows, start, stop), start, stop)


class TrainedRows(NamedTuple):
    """Some rows replaced, the others as they are (PEFT's trainable tokens)."""

    places: Tensor  # rows of the tensor, each once
    values: Tensor  # the rows themselves
    needs_whole: bool = False
    needs_base: bool = True

    def shape_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        if int(self.places.max()) >= before[0]:
            raise ValueError(f"a row {int(self.places.max())}")
        return _fitting(tuple(self.values.shape[1:]), before[1:], whole=before)

    def begin(self) -> Rows:
        def replace(rows: Tensor, start: int, stop: int) -> Tensor:
            is_here = (self.places >= start) & (self.places < stop)
            rows[self.places[is_here] - start] = self.values[is_here].float()
            return rows

        return replace


def _fitting(
    found: tuple[int, ...], expected: tuple[int, ...], whole: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    if tuple(found) != tuple(expected):
        raise ValueError(f"a matrix of {list(whole or found)}")
    return tuple(whole or found)
