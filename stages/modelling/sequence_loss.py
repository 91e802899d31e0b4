"""The loss of a model on token sequences, summed per sequence, and the same bits whatever stands beside it in a batch."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.contract import Progress
from stages.modelling.sequence_batches import Batch, batches_for

LOGITS_AT_ONCE = 2**26  # 256 MiB in float32


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
    for batch in batches_for(model, sequences, fits):
        yield batch.rows, _batch_loss_sums(model, batch)[: len(batch.rows)]


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
