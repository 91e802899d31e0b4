"""The loss of a model on token sequences, summed per sequence, and the same bits whatever stands beside it in a batch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from stages.contract import Progress

LOGITS_AT_ONCE = 2**26  # 256 MiB in float32
WIDTHS_PER_OCTAVE = 8  # widths of batches: at most an eighth of a batch is padding
SMALLEST_WIDTH = 8


class Batch(NamedTuple):
    """Sequences of similar length, filled up on the right."""

    rows: npt.NDArray[np.int64]  # places of the sequences in the table
    input_ids: Tensor  # rows x columns
    is_target: Tensor  # rows x columns, the token counts and is predicted from the one before it


def loss_sums(
    model: PreTrainedModel, sequences: pl.DataFrame, *, batch_tokens: int, progress: Progress
) -> npt.NDArray[np.float64]:
    """Sum of -log p in nats over the supervised tokens of each sequence.

    `sequences` has `input_ids` and `loss_mask` (1 = counts); the first token is never predicted, so it never counts.
    """
    sums = np.zeros(sequences.height)
    done = 0
    for rows, losses in loss_sums_by_batch(model, sequences, batch_tokens=batch_tokens):
        sums[rows] = losses
        done += len(rows)
        progress(done, sequences.height, "sequences")
    return sums


def loss_sums_by_batch(
    model: PreTrainedModel, sequences: pl.DataFrame, *, batch_tokens: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """The same, batch by batch: places of the sequences in the table, and their sums."""
    fits = min(batch_tokens, LOGITS_AT_ONCE // model.get_input_embeddings().weight.shape[0])
    # A GPU picks its arithmetic by the shape of the batch, so there every batch of a width has equally many rows.
    equal_rows = model.device.type == "cuda"
    for batch in _batches(sequences, _widths(sequences, _readable_tokens(model)), fits, equal_rows=equal_rows):
        yield batch.rows, _batch_loss_sums(model, batch)[: len(batch.rows)]


def _readable_tokens(model: PreTrainedModel) -> int | None:
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


@torch.inference_mode()
def _batch_loss_sums(model: PreTrainedModel, batch: Batch) -> npt.NDArray[np.float64]:
    device = model.device
    ids, is_target = batch.input_ids.to(device), batch.is_target.to(device)
    # No mask: a token sees only those before it, so what fills up the right changes nothing, and the arithmetic is
    # the same whether a row is filled up or not.
    logits = model(input_ids=ids, use_cache=False).logits
    predicted = is_target[:, 1:]
    losses = torch.zeros(predicted.shape, dtype=torch.float64, device=device)
    picked = functional.cross_entropy(logits[:, :-1][predicted].float(), ids[:, 1:][predicted], reduction="none")
    losses[predicted] = picked.double()
    sums: npt.NDArray[np.float64] = losses.sum(dim=1).cpu().numpy()
    return sums


def _batches(
    sequences: pl.DataFrame, widths: npt.NDArray[np.int64], batch_tokens: int, *, equal_rows: bool
) -> Iterator[Batch]:
    """The widest first, so that what does not fit in memory fails at once."""
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
