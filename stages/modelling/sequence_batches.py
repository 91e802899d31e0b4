"""Token sequences as batches that a model reads; what a sequence gets hangs on its length alone, never on its neighbours."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor
from transformers import PreTrainedModel

WIDTHS_PER_OCTAVE = 8  # widths of batches: at most an eighth of a batch is padding
SMALLEST_WIDTH = 8


class Batch(NamedTuple):
    """Sequences of similar length, filled up on the right."""

    rows: npt.NDArray[np.int64]  # places of the sequences in the table
    input_ids: Tensor  # rows x columns
    is_target: Tensor  # rows x columns, the token counts and is predicted from the one before it


def batches_for(model: PreTrainedModel, sequences: pl.DataFrame, batch_tokens: int) -> Iterator[Batch]:
    """`sequences` has `input_ids` and `loss_mask`; the widest come first, so that what does not fit fails at once."""
    # A GPU picks its arithmetic by the shape of the batch, so there every batch of a width has equally many rows.
    equal_rows = model.device.type == "cuda"
    return _batches(sequences, _widths(sequences, _readable_tokens(model)), batch_tokens, equal_rows=equal_rows)


def _readable_tokens(model: PreTrainedModel) -> int | None:
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def _batches(
    sequences: pl.DataFrame, widths: npt.NDArray[np.int64], batch_tokens: int, *, equal_rows: bool
) -> Iterator[Batch]:
    order = np.argsort(-widths, kind="stable")
    while order.size:
        width = int(widths[order[0]])
        rows = max(1, batch_tokens // width)
        taken = order[:rows][widths[order[:rows]] == width]
        yield _pad(sequences, taken, rows if equal_rows else len(taken), width)
        order = order[len(taken) :]


def _widths(sequences: pl.DataFrame, readable_tokens: int | None) -> npt.NDArray[np.int64]:
    """Columns of the batch that a sequence falls in: its length alone decides, never its neighbours'."""
    lengths = sequences["input_ids"].list.len().to_numpy().astype(np.int64)
    octave = 2 ** np.floor(np.log2(np.maximum(lengths, SMALLEST_WIDTH))).astype(np.int64)
    step = np.maximum(octave // WIDTHS_PER_OCTAVE, 1)
    widths = np.maximum(-(-lengths // step) * step, SMALLEST_WIDTH)
    fitting: npt.NDArray[np.int64] = np.maximum(np.minimum(widths, readable_tokens or widths), lengths)
    return fitting


def _pad(sequences: pl.DataFrame, rows: npt.NDArray[np.int64], height: int, width: int) -> Batch:
    ids, target = (np.zeros((height, width), dtype=np.int64) for _ in range(2))
    picked = sequences[rows]
    pairs = zip(picked["input_ids"], picked["loss_mask"], strict=True)
    for row, (tokens, counts) in enumerate(pairs):
        ids[row, : len(tokens)], target[row, : len(tokens)] = tokens, counts
    target[:, 0] = 0
    return Batch(rows, torch.from_numpy(ids), torch.from_numpy(target).bool())
