"""A faster way to the same numbers, behind one setting: attention within each document only.

Plain attention makes a mask of tokens by tokens and computes what it hides as well: in a pack of ten documents, nine tenths
of its work. The loss needs no kernel of its own, as it never makes the logits that a fused one would spare (see `loss`).
"""

from inspect import Parameter, signature
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from stages.train.stage import VIRTUAL_TOKENS, TrainParams

NAME = "temper_varlen"  # among transformers' attention implementations
# What a layer may attend to, by its config: everything before it, or a window. Chunks are told to the mask alone.
LAYER_TYPES = {"full_attention", "sliding_attention"}
HALVES = (torch.float16, torch.bfloat16)  # all that the kernel on a GPU computes with
WIDEST_HEAD = 256  # of that kernel


class Documents(NamedTuple):
    """Where the documents of a row end, for the processor and for the GPU."""

    lengths: tuple[int, ...]  # tokens, of each row alike
    bounds: Tensor  # 0 and the end of each, int32


def documents_of(lengths: tuple[int, ...], device: torch.device) -> Documents:
    """Of a batch whose rows all hold documents of these lengths."""
    return Documents(lengths, torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device))


def attend_by_document(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    documents: Documents | None = None, **named: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """What transformers calls for attention: rows x heads x tokens x width in, rows x tokens x heads x width out.

    A call that names no documents, as in generation, is transformers' own. ValueError for what only a model with another
    softmax needs.
    """
    if documents is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **named)
        return plain
    if strange := [name for name in ("softcap", "s_aux", "position_bias") if named.get(name) is not None]:
        raise ValueError(f"attention with {', '.join(strange)} is not that of kernels=varlen")
    scale, window, dropout = named.get("scaling"), named.get("sliding_window"), named.get("dropout", 0.0)
    if torch.is_autocast_enabled(query.device.type):
        query, key, value = (part.to(torch.get_autocast_dtype(query.device.type)) for part in (query, key, value))
    if _has_kernel(query, value) and len(documents.lengths) > 1 and not dropout:
        return _on_gpu(query, key, value, documents, scale, window), None
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    spans = pairwise((0, *accumulate(documents.lengths)))
    made = [
        _one_document((query[:, :, start:end], key[:, :, start:end], value[:, :, start:end]), scale, dropout, window)
        for start, end in spans
    ]
    return torch.cat(made, dim=2).transpose(1, 2).contiguous(), None


def _one_document(
    parts: tuple[Tensor, Tensor, Tensor], scaling: float | None, dropout: float, window: int | None
) -> Tensor:
    query, key, value = parts
    tokens, band = query.shape[2], None
    if window is not None and window < tokens:
        ones = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device)
        band = ones.tril() & ones.triu(1 - window)
    return scaled_dot_product_attention(
        query, key, value, attn_mask=band, is_causal=band is None, scale=scaling, dropout_p=dropout
    )


def _has_kernel(query: Tensor, value: Tensor) -> bool:
    return query.is_cuda and query.dtype in HALVES and query.shape[-1] == value.shape[-1] <= WIDEST_HEAD


def _on_gpu(
    query: Tensor, key: Tensor, value: Tensor, documents: Documents, scaling: float | None, window: int | None
) -> Tensor:
    """One row: several documents are never in several. The window counts the token itself; the kernel's does not."""
    queries, keys, values = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    longest = max(documents.lengths)
    made = varlen_attn(
        queries, keys, values, documents.bounds, documents.bounds, longest, longest, scale=scaling,
        window_size=(-1 if window is None else window - 1, 0), enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    assert isinstance(made, Tensor)
    return made[None]


AttentionInterface.register(NAME, attend_by_document)
AttentionMaskInterface.register(NAME, sdpa_mask)  # for calls that name no documents


def is_by_document(model: PreTrainedModel) -> bool:
    """Whether its layers take `documents`."""
    return bool(model.config.get_text_config()._attn_implementation == NAME)


def install_attention(model: PreTrainedModel, params: TrainParams) -> None:
    """Lets the model attend by document where the setting and its config allow it; whether it does so rightly is checked
    before the first step."""
    if params.kernels != "plain" and params.method not in VIRTUAL_TOKENS and _only_looks_back(model):
        model.set_attn_implementation(NAME)


def remove_attention(model: PreTrainedModel) -> None:
    """Plain attention again."""
    model.set_attn_implementation("sdpa")


def _only_looks_back(model: PreTrainedModel) -> bool:
    text = model.config.get_text_config()
    takes = signature(model.get_decoder().forward).parameters.values()
    return (
        text._attn_implementation == "sdpa"
        and set(getattr(text, "layer_types", None) or ()) <= LAYER_TYPES
        and any(parameter.kind is Parameter.VAR_KEYWORD for parameter in takes)
    )
