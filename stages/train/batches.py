"""Lays examples out as tensors, so that no token sees another example, with padding or without."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.train.examples import Examples
from stages.train.packing import Pack


class Batch(NamedTuple):
    """One forward pass. `predictors` are flat positions in rows x columns; each predicts the token in `labels`."""

    input_ids: Tensor  # rows x columns
    position_ids: Tensor  # rows x columns, starting again at 0 with each example
    attention_mask: Tensor | None  # rows x columns, 1 = a token, 0 = padding; None = no padding
    predictors: Tensor  # supervised
    labels: Tensor  # supervised
    members: Pack  # positions of the examples in it
    tokens: int  # padding left out

    @property
    def supervised(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device) -> "Batch":
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        return self._replace(
            input_ids=self.input_ids.to(device), position_ids=self.position_ids.to(device), attention_mask=mask,
            predictors=self.predictors.to(device), labels=self.labels.to(device),
        )  # fmt: skip


def lay_out(examples: Examples, packs: Sequence[Pack], *, packing: bool, pack_tokens: int) -> Iterator[Batch]:
    """The packs as one batch each; or, without packing, the same examples as padded batches of at most `pack_tokens`."""
    if packing:
        yield from (packed(examples, pack) for pack in packs)
        return
    members = np.concatenate(packs)
    longest_first = members[np.argsort(-examples.lengths[members], kind="stable")]
    while longest_first.size:
        rows = max(1, pack_tokens // int(examples.lengths[longest_first[0]]))
        yield padded(examples, longest_first[:rows])
        longest_first = longest_first[rows:]


def packed(examples: Examples, members: Pack) -> Batch:
    """One row with the examples end to end. They are told apart by positions that start again at 0.

    There is no attention mask on purpose: transformers 5.23 looks at the positions only where none is given, and with a
    mask of ones every example would silently see those before it.
    """
    tokens, positions = _token_places(examples, members)
    targets = np.flatnonzero(examples.is_target[tokens])
    ids = examples.input_ids[tokens]
    return _batch(ids[None], positions[None], None, targets, ids[targets], members)


def padded(examples: Examples, members: Pack) -> Batch:
    """One row per example, filled up on the right."""
    tokens, positions = _token_places(examples, members)
    lengths = examples.lengths[members]
    width = int(lengths.max())
    places = np.repeat(np.arange(len(members)) * width, lengths) + positions
    ids, mask = np.zeros((2, len(members) * width), dtype=np.int64)
    ids[places], mask[places] = examples.input_ids[tokens], 1
    targets = places[examples.is_target[tokens]]
    columns = np.broadcast_to(np.arange(width), (len(members), width))
    return _batch(ids.reshape(-1, width), columns, mask.reshape(-1, width), targets, ids[targets], members)


def _token_places(examples: Examples, members: Pack) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each token of the members: its place in the flat arrays, and its position in its example."""
    lengths = examples.lengths[members]
    ends = np.cumsum(lengths)
    positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    return np.repeat(examples.starts[members], lengths) + positions, positions


def _batch(
    ids: npt.NDArray[np.generic],
    positions: npt.NDArray[np.int64],
    mask: npt.NDArray[np.int64] | None,
    targets: npt.NDArray[np.int64],
    labels: npt.NDArray[np.generic],
    members: Pack,
) -> Batch:
    return Batch(
        input_ids=torch.from_numpy(ids.astype(np.int64)),
        position_ids=torch.from_numpy(positions.astype(np.int64)),
        attention_mask=None if mask is None else torch.from_numpy(mask),
        predictors=torch.from_numpy(targets - 1),  # a target is never at position 0, so this is the token before it
        labels=torch.from_numpy(labels.astype(np.int64)),
        members=members,
        tokens=ids.size if mask is None else int(mask.sum()),
    )
