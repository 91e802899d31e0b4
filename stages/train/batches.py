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
    documents: tuple[
        int, ...
    ]  # columns of each in a row, padding included; none = they are told by positions and mask alone
    weights: Tensor | None = None  # supervised: what each token counts in the mean; None = every one the same, once

    @property
    def supervised(self) -> int:
        return self.labels.shape[0]

    @property
    def weight(self) -> float:
        """Of all its supervised tokens: what the sum of their losses is to be divided by."""
        return float(self.supervised) if self.weights is None else float(self.weights.sum())

    @property
    def is_packed(self) -> bool:
        return self.attention_mask is None

    def to(self, device: torch.device) -> "Batch":
        mask = None if self.attention_mask is None else self.attention_mask.to(device)
        return self._replace(
            input_ids=self.input_ids.to(device), position_ids=self.position_ids.to(device), attention_mask=mask,
            predictors=self.predictors.to(device), labels=self.labels.to(device),
            weights=None if self.weights is None else self.weights.to(device, torch.float32),
        )  # fmt: skip

    def plain(self) -> "Batch":
        """The same forward pass with transformers' own attention."""
        return self._replace(documents=())

    def silent(self) -> "Batch":
        """The same forward pass without a token that counts."""
        return self._replace(predictors=self.predictors[:0], labels=self.labels[:0], weights=None, tokens=0)


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
    batch = _batch(ids[None], positions[None], None, targets, ids[targets], members)
    batch = batch._replace(documents=tuple(examples.lengths[members].tolist()))
    return batch._replace(weights=_weights(examples, members, tokens))


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
    batch = _batch(ids.reshape(-1, width), columns, mask.reshape(-1, width), targets, ids[targets], members)
    return batch._replace(weights=_weights(examples, members, tokens))


def halved(examples: Examples, batch: Batch) -> list[Batch]:
    """The same examples in two batches of about as many tokens each; or the batch itself when it holds only one."""
    members = batch.members
    if len(members) < 2:
        return [batch]
    upto = np.cumsum(examples.lengths[members])
    cut = min(int(np.searchsorted(upto, upto[-1] / 2)) + 1, len(members) - 1)
    lay = packed if batch.is_packed else padded
    return [lay(examples, half) for half in (members[:cut], members[cut:])]


def _weights(examples: Examples, members: Pack, tokens: npt.NDArray[np.int64]) -> Tensor | None:
    """The weight of each supervised token, or None where every example counts once."""
    weights = examples.weights[members]
    if (weights == 1).all():
        return None
    return torch.from_numpy(np.repeat(weights, examples.lengths[members])[examples.is_target[tokens]])


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
        position_ids=torch.from_numpy(positions.astype(np.int64, order="C")),  # some models look at it flat
        attention_mask=None if mask is None else torch.from_numpy(mask),
        predictors=torch.from_numpy(targets - 1),  # a target is never at position 0, so this is the token before it
        labels=torch.from_numpy(labels.astype(np.int64)),
        members=members,
        documents=(ids.shape[1],),
        tokens=ids.size if mask is None else int(mask.sum()),
    )
