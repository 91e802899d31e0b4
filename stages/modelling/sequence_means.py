"""A model's reading of a text as one vector: the mean of its last hidden states, shortened and of length 1."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from transformers import PreTrainedModel

from stages.modelling.sequence_batches import Batch, batches_for

# More dimensions than this are projected at random onto as many, which keeps 100,000 vectors' distances to about a
# quarter (Johnson and Lindenstrauss 1984): enough to tell like from unlike, at a kilobyte a row.
DIMENSIONS = 256
Matrix = npt.NDArray[np.float32]


def means_by_batch(
    model: PreTrainedModel, sequences: pl.DataFrame, *, batch_tokens: int
) -> Iterator[tuple[npt.NDArray[np.int64], Matrix]]:
    """Places of the sequences in the table, and a vector for each; `loss_mask` says which tokens count.

    A vector has the model's hidden size, or DIMENSIONS where that is less.
    """
    projection = _projection(model.config.get_text_config().hidden_size)
    for batch in batches_for(model, sequences, batch_tokens):
        means = _means(model, batch)[: len(batch.rows)]
        # Row by row: a product of matrices may add up in another order for another number of rows.
        vectors = means if projection is None else np.stack([mean @ projection for mean in means])
        lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        yield batch.rows, (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


@torch.inference_mode()
def _means(model: PreTrainedModel, batch: Batch) -> npt.NDArray[np.float64]:
    ids, counts = batch.input_ids.to(model.device), batch.is_target.to(model.device)
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state.double()
    sums = (hidden * counts[:, :, None]).sum(dim=1)
    means: npt.NDArray[np.float64] = (sums / counts.sum(dim=1, keepdim=True).clamp(min=1)).cpu().numpy()
    return means


def _projection(hidden_size: int) -> npt.NDArray[np.float64] | None:
    """The same for every model of a size, so that vectors of one model are comparable across runs."""
    if hidden_size <= DIMENSIONS:
        return None
    return np.random.default_rng(hidden_size).standard_normal((hidden_size, DIMENSIONS))
