"""The loss of the supervised tokens, without making a logit that nobody needs."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from stages.train.batches import Batch
from stages.train.kernels import documents_of, is_by_document

LOGITS_AT_ONCE = 2**24  # 64 MiB in float32: large enough to keep a GPU busy, small beside any model


def hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """What the model's last layer says at every place of the batch: (rows x columns) x hidden size."""
    device = batch.input_ids.device
    mask: dict[str, object] = {"attention_mask": batch.attention_mask}
    if batch.documents and is_by_document(model):
        # A mask of four dimensions is handed on as it is, so none is made.
        nothing = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
        mask = {"attention_mask": nothing, "documents": documents_of(batch.documents, device)}
    output = model.get_decoder()(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        use_cache=False,  # with a cache, transformers 5.23 does not look at the positions to keep packed examples apart
        **mask,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden.flatten(0, 1)


def logits_of(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """What the model makes of hidden states: its output matrix, and what some architectures do to the result.

    Cohere's and Granite's scale, Gemma 2's cap. `check_loss_path` finds a model that does something else.
    """
    config = model.config.get_text_config()
    scale, divisor, cap = (
        getattr(config, name, None) for name in ("logit_scale", "logits_scaling", "final_logit_softcapping")
    )
    logits: Tensor = model.get_output_embeddings()(hidden)
    logits = logits if scale is None else logits * scale
    logits = logits if divisor is None else logits / divisor
    return logits if cap is None else cap * torch.tanh(logits / cap)


def loss_sum(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Sum, in float32, of weight times -log p over the batch's supervised tokens; the caller divides by the whole step's.

    The hidden states are gathered where a supervised token follows, and meet the output matrix in chunks whose logits
    are made again for the gradient instead of being kept: same value as full logits, a fraction of the memory.
    """
    hidden = hidden_states(model, batch).index_select(0, batch.predictors)
    head = partial(logits_of, model)
    count = -(-max(len(hidden), 1) // max(1, LOGITS_AT_ONCE // model.get_output_embeddings().weight.shape[0]))
    weights = [None] * count if batch.weights is None else torch.tensor_split(batch.weights, count)
    # Of equal size: a short last one is small enough for the heap, which glibc keeps, and adds to the peak.
    chunks = list(zip(torch.tensor_split(hidden, count), torch.tensor_split(batch.labels, count), weights, strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        losses = [_chunk_loss(head, *chunk) for chunk in chunks]
    else:
        losses = [
            checkpoint(_chunk_loss, head, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks
        ]
    return torch.stack(losses).sum()


def _chunk_loss(head: Callable[[Tensor], Tensor], hidden: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return functional.cross_entropy(head(hidden).float(), labels, reduction="sum")
    losses = functional.cross_entropy(head(hidden).float(), labels, reduction="none")
    return (losses * weights).sum()  # not @, which autocast would round to bfloat16
