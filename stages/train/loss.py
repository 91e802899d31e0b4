"""The loss of the supervised tokens, without making a logit that nobody needs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from stages.modelling.prompted import PromptedDecoder
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
    decoder = model.get_decoder()
    if isinstance(decoder.forward, PromptedDecoder):
        mask |= {"documents": batch.documents}
    output = decoder(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        use_cache=False,  # with a cache, transformers 5.23 does not look at the positions to keep packed examples apart
        **mask,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden.flatten(0, 1)


def logits_of(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """What the model makes of hidden states: its output matrix, and what some architectures do to the result.

    Cohere's scale and Granite's, Gemma 2's cap. `check_loss_path` finds a model that does something else.
    """
    config = model.config.get_text_config()
    scale = getattr(model, "logit_scale", None)  # not the config's: MPT's may be a word, and is never used
    divisor, cap = (getattr(config, name, None) for name in ("logits_scaling", "final_logit_softcapping"))
    logits: Tensor = model.get_output_embeddings()(hidden)
    logits = logits if scale is None else logits * scale
    logits = logits if divisor is None else logits / divisor
    return logits if cap is None else cap * torch.tanh(logits / cap)


def loss_sum(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Sum, in float32, of weight times -log p over the batch's supervised tokens; the caller divides by the whole step's.

    The hidden states are gathered where a supervised token follows, and meet the output matrix in chunks of logits: same
    value as full logits, a fraction of the memory.
    """
    hidden = hidden_states(model, batch).index_select(0, batch.predictors)
    matrix, head = model.get_output_embeddings(), partial(logits_of, model)
    count = -(-max(len(hidden), 1) // max(1, LOGITS_AT_ONCE // matrix.weight.shape[0]))
    weights = [None] * count if batch.weights is None else torch.tensor_split(batch.weights, count)
    # Of equal size: a short last one is small enough for the heap, which glibc keeps, and adds to the peak.
    targets = list(zip(torch.tensor_split(batch.labels, count), weights, strict=True))
    if torch.is_grad_enabled():
        trained = [weight for weight in matrix.parameters() if weight.requires_grad]
        loss: Tensor = _HeadLoss.apply(head, targets, hidden, *trained)  # type: ignore[no-untyped-call]
        return loss
    chunks = torch.tensor_split(hidden, count)
    return torch.stack([_chunk_loss(head, *chunk) for chunk in zip(chunks, targets, strict=True)]).sum()


Head: TypeAlias = Callable[[Tensor], Tensor]  # hidden states to logits
Targets: TypeAlias = tuple[Tensor, Tensor | None]  # labels, and the weight of each if they have different ones


def _chunk_loss(head: Head, hidden: Tensor, targets: Targets) -> Tensor:
    return _weighted(functional.cross_entropy(head(hidden).float(), targets[0], reduction="none"), targets[1]).sum()


def _weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    return values if weights is None else values * weights  # not @, which autocast would round to bfloat16


class _HeadLoss(torch.autograd.Function):
    """The loss, whose gradients are found at once, chunk by chunk, while the logits are there: they are never made twice.

    Needs memory for the gradients of the head's weights from here on, which the way back would need at its start anyway.
    As the fused linear cross-entropy of Liger Kernel does (linkedin/Liger-Kernel, ops/fused_linear_cross_entropy.py).
    """

    @staticmethod
    def forward(ctx: Any, head: Head, targets: Sequence[Targets], hidden: Tensor, *trained: Tensor) -> Tensor:
        losses, by_hidden = list[Tensor](), list[Tensor]()
        by_weight: list[Tensor] = []
        for chunk, target in zip(torch.tensor_split(hidden, len(targets)), targets, strict=True):
            loss, (found, *more) = _loss_and_gradients(head, chunk, target, trained)
            losses.append(loss)
            by_hidden.append(found)
            by_weight = (
                [sofar.add_(new) for sofar, new in zip(by_weight, more, strict=True)] if by_weight else list(more)
            )
        ctx.gradients = [torch.cat(by_hidden), *by_weight]
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.gradients
        del ctx.gradients  # they are changed in place: a second way back must fail
        return None, None, *(gradient.mul_(outer) for gradient in gradients)


def _loss_and_gradients(
    head: Head, hidden: Tensor, targets: Targets, trained: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Of the hidden states, then of the weights. The gradient of -log p by the logits is p, less 1 at the label."""
    labels, weights = targets
    with torch.enable_grad():
        hidden = hidden.detach().requires_grad_()
        logits = head(hidden.view_as(hidden))  # the flop counter of a plan stumbles over leaves
    by_logits = functional.log_softmax(logits.detach().float(), dim=-1)
    each = torch.arange(len(labels), device=labels.device)
    loss = _weighted(-by_logits[each, labels], weights).sum()
    by_logits.exp_()
    by_logits[each, labels] -= 1
    if weights is not None:
        by_logits *= weights[:, None]
    # Into the place of the logits: both would stand there while the largest of the gradients are found.
    outer = logits.detach().copy_(by_logits)
    del by_logits
    return loss, torch.autograd.grad(logits, [hidden, *trained], outer)
