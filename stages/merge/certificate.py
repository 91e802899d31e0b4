"""Compares the merged model, as it lies on disk, with base and adapter, and says in numbers how equal they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax
from transformers import PreTrainedModel

from stages.errors import DataError
from stages.merge.stage import MergeParams
from stages.models import add_token_rows, load_model, quiet_peft

SPLITS = ("validation", "test", "train")  # in this order: better what was not trained on

# Rounding the merged weights to 16 bits moves the logits more than the other order of float32 sums does. Measured on random
# models of 2 to 12 layers, 32 to 512 wide, logits up to 5: float32 3e-6 to 1e-4, float16 2e-3 to 3e-2, bfloat16 2e-2 to 2e-1.
ROUNDING = {torch.float32: 1, torch.float16: 250, torch.bfloat16: 2000}


class Comparison(NamedTuple):
    """Over all positions of all prompts."""

    max_logit_difference: float
    largest_logit: float  # in size, of base and adapter
    mean_kl: float  # nats, of base and adapter from merged
    top1_agreement: float  # share of positions with the same most likely token
    positions: int


def choose_prompts(examples: Path | None, tokens: int, params: MergeParams) -> list[Tensor]:
    """Token ids of held-out examples; without examples, of fixed pseudo-random prompts.

    DataError when an example has a token that the model does not have.
    """
    if examples is None:
        random = np.random.default_rng(0)
        return [
            torch.from_numpy(random.integers(tokens, size=params.check_tokens)) for _ in range(params.check_prompts)
        ]
    rows = (
        pl.scan_parquet(sorted(examples.glob("*.parquet")))
        .sort("row_id", "turn")
        .select("split", "input_ids")
        .collect()
    )
    held_out = pl.concat([rows.filter(pl.col("split") == split) for split in SPLITS])
    ids = held_out["input_ids"].head(params.check_prompts).list.head(params.check_tokens)
    prompts = [torch.tensor(prompt, dtype=torch.int64) for prompt in ids.to_list()]
    if not prompts or max(int(prompt.max()) for prompt in prompts) >= tokens:
        raise DataError(
            f"examples: {'none to compare on' if not prompts else f'token ids beyond the {tokens:,} tokens of the model'}; "
            f"give the examples that the adapter was trained on, or leave them out"
        )
    return prompts


def adapted_logits(base: Path, adapter: Path, tokens: int, prompts: Sequence[Tensor]) -> list[Tensor]:
    """What base and adapter say, in float32, without merging."""
    model = load_model(base, torch.float32)
    add_token_rows(model, tokens)
    with quiet_peft():
        adapted = PeftModel.from_pretrained(model, str(adapter))
    return _logits(adapted.eval(), prompts)


def merged_logits(folder: Path, prompts: Sequence[Tensor]) -> list[Tensor]:
    """What the model in `folder` says, in float32."""
    return _logits(load_model(folder, torch.float32), prompts)


@torch.no_grad()
def _logits(model: PreTrainedModel | PeftModel, prompts: Sequence[Tensor]) -> list[Tensor]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    return [model(input_ids=prompt[None].to(device), use_cache=False).logits[0].float().cpu() for prompt in prompts]


def compare(expected: Sequence[Tensor], found: Sequence[Tensor]) -> Comparison:
    """How far the logits of the two models lie apart."""
    one, other = torch.cat(list(expected)), torch.cat(list(found))
    kl = kl_div(log_softmax(other, dim=-1), log_softmax(one, dim=-1), log_target=True, reduction="none").sum(dim=-1)
    agreement = (one.argmax(dim=-1) == other.argmax(dim=-1)).double().mean()
    return Comparison(
        max_logit_difference=float((one - other).abs().max()),
        largest_logit=float(one.abs().max()),
        mean_kl=float(kl.double().mean().clamp_min(0)),
        top1_agreement=float(agreement),
        positions=one.shape[0],
    )


def allowed_difference(params: MergeParams, found: Comparison, dtype: torch.dtype) -> float:
    """The limit for weights of that precision and logits of that size: what rounding adds grows with both."""
    return params.max_logit_difference * max(1.0, found.largest_logit) * ROUNDING.get(dtype, 1)
