"""The loss of a model on token sequences, summed per sequence."""

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
from stages.evaluate.intervals import Estimate, mean_loss

LOGITS_AT_ONCE = 2**26  # 256 MiB in float32
ALL = "all"


class Batch(NamedTuple):
    """Sequences of similar length, filled up on the right."""

    rows: npt.NDArray[np.int64]  # places of the sequences in the table
    input_ids: Tensor  # rows x columns
    attention_mask: Tensor  # rows x columns, 1 = a token
    is_target: Tensor  # rows x columns, the token counts and is predicted from the one before it


def loss_sums(
    model: PreTrainedModel, sequences: pl.DataFrame, *, batch_tokens: int, progress: Progress
) -> npt.NDArray[np.float64]:
    """Sum of -log p in nats over the supervised tokens of each sequence.

    `sequences` has `input_ids` and `loss_mask` (1 = counts); the first token is never predicted, so it never counts.
    """
    sums = np.zeros(sequences.height)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    done = 0
    for batch in _batches(sequences, min(batch_tokens, LOGITS_AT_ONCE // vocabulary)):
        sums[batch.rows] = _batch_loss_sums(model, batch)
        done += len(batch.rows)
        progress(done, sequences.height, "sequences")
    return sums


@torch.inference_mode()
def _batch_loss_sums(model: PreTrainedModel, batch: Batch) -> npt.NDArray[np.float64]:
    device = model.device
    ids, is_target = batch.input_ids.to(device), batch.is_target.to(device)
    logits = model(input_ids=ids, attention_mask=batch.attention_mask.to(device), use_cache=False).logits
    predicted = is_target[:, 1:]
    losses = torch.zeros(predicted.shape, dtype=torch.float64, device=device)
    picked = functional.cross_entropy(logits[:, :-1][predicted].float(), ids[:, 1:][predicted], reduction="none")
    losses[predicted] = picked.double()
    sums: npt.NDArray[np.float64] = losses.sum(dim=1).cpu().numpy()
    return sums


def _batches(sequences: pl.DataFrame, batch_tokens: int) -> Iterator[Batch]:
    """The longest first, so that what does not fit in memory fails at once."""
    lengths = sequences["input_ids"].list.len().to_numpy().astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    while order.size:
        rows = max(1, batch_tokens // int(lengths[order[0]]))
        yield _pad(sequences, order[:rows], int(lengths[order[0]]))
        order = order[rows:]


def _pad(sequences: pl.DataFrame, rows: npt.NDArray[np.int64], width: int) -> Batch:
    ids, mask, target = (np.zeros((len(rows), width), dtype=np.int64) for _ in range(3))
    picked = sequences[rows]
    pairs = zip(picked["input_ids"], picked["loss_mask"], strict=True)
    for row, (tokens, counts) in enumerate(pairs):
        ids[row, : len(tokens)], mask[row, : len(tokens)], target[row, : len(tokens)] = tokens, 1, counts
    target[:, 0] = 0
    return Batch(rows, torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(target).bool())


def supervised_tokens(sequences: pl.DataFrame) -> pl.Series:
    """Tokens of each sequence that count: those with a 1 in the mask that have a token before them."""
    return sequences.select(pl.col("loss_mask").list.slice(1).list.sum().cast(pl.Float64)).to_series()


def estimates_by_slice(
    sequences: pl.DataFrame, sums: npt.NDArray[np.float64], *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Mean loss per token of all sequences and of those of each `source`; sequences of one `row_id` are one item."""
    measured = sequences.select("row_id", "source").with_columns(
        loss=pl.Series(sums), tokens=supervised_tokens(sequences)
    )
    items = measured.group_by("source", "row_id").agg(pl.sum("loss", "tokens")).sort("source", "row_id")
    slices = {ALL: items} | {
        f"source {ALL}" if name == ALL else name: part
        for (name,), part in items.partition_by("source", as_dict=True).items()
    }
    return {
        name: mean_loss(part["loss"].to_numpy(), part["tokens"].to_numpy(), resamples=resamples, seed=seed)
        for name, part in slices.items()
    }
