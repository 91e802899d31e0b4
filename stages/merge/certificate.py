"""Compares the merged model, as it lies on disk, with base and adapter, and says in numbers how equal they are."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from peft import PeftConfig, PeftModel, set_peft_model_state_dict
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, pad
from transformers import PreTrainedModel

from stages.errors import DataError
from stages.merge.deltas import PREFIX
from stages.merge.stage import MergeParams
from stages.modelling.adapters import ADAPTER_WEIGHTS, load_adapted, read_adapter_config
from stages.modelling.models import load_model, quiet_peft
from stages.modelling.streamed_model import build_streamed, sources, stream, unfilled_memory
from stages.modelling.tensor_files import TensorFile, TensorFolder
from stages.processes.memory import return_freed_memory

LOGITS_AT_ONCE = 2**20  # numbers; both models' are in memory at once
ROWS_AT_ONCE = 16
HALVES = (".lora_A.weight", ".lora_B.weight")
ACTIVE = "default"  # what PEFT calls an adapter that it is told no name of
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


class HeldOut(NamedTuple):
    """Examples, the held-out ones first: token ids, and which of them count for the loss (1) or not (0)."""

    prompts: list[Tensor]
    counts: list[Tensor]

    @property
    def counted(self) -> list[int]:
        """Tokens of each that have a loss: the first is never predicted."""
        return [int(counts[1:].sum()) for counts in self.counts]


def random_prompts(tokens: int, count: int, longest: int) -> list[Tensor]:
    """Fixed pseudo-random token ids, for want of examples."""
    random = np.random.default_rng(0)
    return [torch.from_numpy(random.integers(tokens, size=longest)) for _ in range(count)]


def held_out(examples: Path, tokens: int, count: int, longest: int) -> HeldOut:
    """The first `count` examples; DataError when there is none, or one has a token that the model does not have."""
    rows = (
        pl.scan_parquet(sorted(examples.glob("*.parquet")), glob=False)
        .sort("row_id", "turn")
        .select("split", pl.col("input_ids", "loss_mask").list.head(longest))
        .collect()
    )
    first = pl.concat([rows.filter(pl.col("split") == split) for split in SPLITS]).head(count)
    prompts = [torch.tensor(ids, dtype=torch.int64) for ids in first["input_ids"].to_list()]
    if not prompts or max(int(prompt.max()) for prompt in prompts) >= tokens:
        raise DataError(
            f"examples: {'none to compare on' if not prompts else f'token ids beyond the {tokens:,} tokens of the model'}; "
            f"give the examples that the adapter was trained on, or leave them out"
        )
    return HeldOut(prompts, [torch.tensor(mask, dtype=torch.float32) for mask in first["loss_mask"].to_list()])


def adapted_logits(
    base: Path, adapter: Path, tokens: int, prompts: Sequence[Tensor], files: TensorFolder | None = None
) -> Iterator[Tensor]:
    """What base and adapter say, in float32, without merging; PEFT's own arithmetic. `files` may stand for the base's."""
    is_stored, files = files is None, files or TensorFolder.of_model(base)
    model = build_streamed(base, tokens=tokens)
    given = _make_room(model, adapter)
    named = sources(model, files)
    if named is None:
        whole = load_adapted(base, adapter, torch.float32, tokens=tokens, quantised=not is_stored)
        return _logits(whole, prompts, tokens)
    adapted, halves = put_on(model, adapter)
    stream(adapted, files, {weight: name for weight, name in named.items() if weight not in given})
    stream(adapted, TensorFolder([adapter / ADAPTER_WEIGHTS]), halves)
    return _logits(adapted, prompts, tokens)


def put_on(model: PreTrainedModel, adapter: Path) -> tuple[PeftModel, dict[int, str]]:
    """The model with the adapter, whose halves of low rank stay on disk; these, by identity, and their names there."""
    file = TensorFile(adapter / ADAPTER_WEIGHTS)
    with quiet_peft(), unfilled_memory():
        adapted = PeftModel(model, PeftConfig.from_pretrained(str(adapter)), low_cpu_mem_usage=True).eval()
        layers = {f"{name.removesuffix(f'.{ACTIVE}')}.weight": part for name, part in adapted.named_modules()}
        halves = {
            name: torch.zeros(()).expand(place.shape)  # takes no memory
            for name, place in file.places.items()
            if type(layers.get(name)) is nn.Linear and name.endswith(HALVES)
        }
        given = {name: halves[name] if name in halves else file.rows(name) for name in file.places}
        _refuse_gaps(file, adapted, _load(file, adapted, given))
        if any(layers[name].weight.data_ptr() != half.data_ptr() for name, half in halves.items()):
            # PEFT made other matrices of them, as it does for some mixtures of experts.
            halves = {}
            _load(file, adapted, {name: file.rows(name) for name in file.places})
    return adapted, {id(layers[name].weight): name for name in halves}


def _load(file: TensorFile, adapted: PeftModel, given: Mapping[str, Tensor]) -> list[str]:
    """Gives the adapter its tensors; the names of those that are not there."""
    try:
        missing: list[str] = set_peft_model_state_dict(adapted, dict(given), low_cpu_mem_usage=True).missing_keys
    except (KeyError, RuntimeError) as error:  # PEFT's for a module that was to be saved, torch's with a line for each
        raise DataError(
            f"{file.path} does not hold what its settings name ({str(error).splitlines()[-1].strip()}); copy the adapter again"
        ) from error
    return missing


def _refuse_gaps(file: TensorFile, adapted: PeftModel, missing: Sequence[str]) -> None:
    """What an adapter's settings name and its file lacks would be memory that nobody has written; a tensor that is tied to
    one that is there is not lacking."""
    tensors = adapted.state_dict(keep_vars=True)
    there = {id(tensor) for name, tensor in tensors.items() if name not in set(missing)}
    lacking = [name for name in missing if ACTIVE in name.split(".") and id(tensors[name]) not in there]
    if gaps := sorted(lacking):
        raise DataError(
            f"{file.path} lacks {len(gaps)} tensors that its settings name (first: {gaps[0]}); copy the adapter again"
        )


def _make_room(model: PreTrainedModel, adapter: Path) -> set[int]:
    """Memory for the matrices that PEFT writes straight into the model (embeddings it saved unasked); which they are."""
    weights = dict(model.named_parameters(remove_duplicate=False))
    saved = [name.removeprefix(PREFIX) for name in TensorFile(adapter / ADAPTER_WEIGHTS).places]
    kept_beside = tuple(read_adapter_config(adapter).get("modules_to_save") or ())
    written = [n for n in saved if n in weights and not n.removesuffix(".weight").endswith(kept_beside)]
    for name in written:
        weights[name].data = torch.zeros(weights[name].shape)
    return {id(weights[name]) for name in written if weights[name].ndim > 1}


def merged_logits(folder: Path, prompts: Sequence[Tensor], tokens: int) -> Iterator[Tensor]:
    """What the model in `folder` says, in float32."""
    files = TensorFolder.of_model(folder)
    model = build_streamed(folder, tokens=tokens)
    named = sources(model, files)
    if named is None:
        return _logits(load_model(folder, torch.float32), prompts, tokens)
    stream(model, files, named)
    return _logits(model, prompts, tokens)


@torch.no_grad()
def _logits(model: PreTrainedModel | PeftModel, prompts: Sequence[Tensor], tokens: int) -> Iterator[Tensor]:
    """Logits of some positions after the other of all prompts. The layers run once, for all positions, and at once:
    before another model's logits are there.

    What fills up a row stands after the prompt, so no position sees it.
    """
    width = max(map(len, prompts))
    ids = torch.stack([pad(prompt, (0, width - len(prompt))) for prompt in prompts])
    causal = model.get_base_model() if isinstance(model, PeftModel) else model
    if "logits_to_keep" not in inspect.signature(causal.forward).parameters:
        return _rows_of(model(input_ids=ids, use_cache=False).logits, prompts, 0)
    decoder = causal.get_decoder()
    states = decoder(input_ids=ids, use_cache=False)
    return_freed_memory()  # what the layers freed, too small to go back by itself: 15 MiB under the other model's
    decoder.__dict__["forward"] = lambda *_, **__: states  # the rest of the model is still to come, in pieces
    return _in_pieces(model, ids, prompts, max(1, LOGITS_AT_ONCE // (len(prompts) * tokens)))


@torch.no_grad()
def _in_pieces(
    model: PreTrainedModel | PeftModel, ids: Tensor, prompts: Sequence[Tensor], columns: int
) -> Iterator[Tensor]:
    """The logits of as many positions at once."""
    width = ids.shape[1]
    for start in range(0, width, columns):
        kept = torch.arange(start, min(start + columns, width))
        yield from _rows_of(model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits, prompts, start)


def _rows_of(logits: Tensor, prompts: Sequence[Tensor], start: int) -> Iterator[Tensor]:
    """Of each prompt, the logits of its own tokens; `logits` begin at position `start`."""
    for row, prompt in zip(logits, prompts, strict=True):
        if len(prompt) > start:
            yield row[: len(prompt) - start].float()


def compare(expected: Iterable[Tensor], found: Iterable[Tensor]) -> Comparison:
    """How far the logits of the two models lie apart."""
    parts = [_compare(one, other) for one, other in zip(expected, found, strict=True)]
    positions = sum(part.positions for part in parts)
    return Comparison(
        max_logit_difference=max(part.max_logit_difference for part in parts),
        largest_logit=max(part.largest_logit for part in parts),
        mean_kl=max(sum(part.mean_kl * part.positions for part in parts) / positions, 0.0),
        top1_agreement=sum(part.top1_agreement * part.positions for part in parts) / positions,
        positions=positions,
    )


def _compare(one: Tensor, other: Tensor) -> Comparison:
    if one.shape != other.shape:
        raise DataError(
            f"base and adapter say one of {one.shape[-1]:,} tokens and the merged model one of {other.shape[-1]:,}, so the "
            f"adapter has rows for one of two tied matrices only; train it again with train_embeddings"
        )
    largest, kl = 0.0, 0.0
    for start in range(0, len(one), ROWS_AT_ONCE):
        a, b = (logits[start : start + ROWS_AT_ONCE] for logits in (one, other))
        kl += float(kl_div(log_softmax(b, dim=-1), log_softmax(a, dim=-1), log_target=True, reduction="sum"))
        difference = float((a - b).abs().max())
        largest = max(largest, difference if np.isfinite(difference) else np.inf)  # no number is no small one
    return Comparison(
        max_logit_difference=largest,
        largest_logit=float(one.abs().max()),
        mean_kl=kl / len(one),
        top1_agreement=float((one.argmax(dim=-1) == other.argmax(dim=-1)).double().mean()),
        positions=len(one),
    )


def allowed_difference(params: MergeParams, found: Comparison, dtype: torch.dtype) -> float:
    """The limit for weights of that precision and logits of that size: what rounding adds grows with both."""
    return params.max_logit_difference * max(1.0, found.largest_logit) * ROUNDING.get(dtype, 1)
