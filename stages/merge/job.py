"""Merges: a base and its adapter in, one model with a certificate of equal logits out."""

import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedConfig

from stages.adapters import read_adapter_config
from stages.contract import Workbench
from stages.errors import DataError
from stages.merge.certificate import adapted_logits, allowed_difference, choose_prompts, compare, merged_logits
from stages.merge.deltas import is_mergeable, read_adapter, why_not
from stages.merge.embeddings import names_of, rows_after, settle_tied
from stages.merge.shards import Rounding, match_names, write_merged
from stages.merge.stage import MergeParams
from stages.models import (
    BESIDE,
    CONFIG,
    GENERATION_CONFIG,
    INDEX,
    TOKENIZER_FILES,
    copy_tokenizer,
    load_config,
    repeatable,
    weight_files,
)
from stages.storage import MANIFEST, write_json
from stages.tensor_files import TensorFolder

CERTIFICATE = "merge_certificate.json"


def run(
    base: Path, adapter: Path, *, examples: Path | None = None, model: Path, params: MergeParams, workbench: Workbench
) -> dict[str, object]:
    """Fills `model`; the same inputs give the same bytes on a CPU.

    Raises ConfigError for an adapter that cannot be merged, and DataError when adapter and base do not fit each other or
    the merged model, read back, differs from them by more than is allowed.
    """
    with repeatable(params.cpu_threads):
        config = load_config(base)
        if params.unmergeable == "serve" and not is_mergeable(adapter):
            return serve_beside(base, adapter, model, workbench)
        names = names_of(config)
        weights = TensorFolder.of_model(base)
        read = read_adapter(adapter, names.transposed)
        tokens = rows_after(read, names, config)
        base_names = set(weights.file_of)
        settled, is_tied = settle_tied(read, names, base_names)
        added = {names.output_matrix} if names.is_tied and not is_tied else set()
        matched = match_names(settled, base_names, names.inner_model, added)
        roundings = write_merged(weights, matched, model, threads=params.cpu_threads)
        write_settings(base, adapter, config, model, tokens=tokens, is_tied=is_tied)
        copy_tokenizer(adapter if has_tokenizer(adapter) else base, model)
        certificate = certify(base, adapter, examples, model, tokens=tokens, params=params)
    digests = {f"{name}_digest": workbench.input_digests.get(name) for name in ("base", "adapter")}
    stated = {"merged": True} | certificate | {"kind": read.kind, "rank": read.rank} | digests
    rounding = {name: rounding._asdict() | {"share": rounding.share} for name, rounding in roundings.items()}
    write_json(model / CERTIFICATE, stated | {"rounding": rounding})
    return certificate | _worst(roundings)


def _worst(roundings: dict[str, Rounding]) -> dict[str, object]:
    """The tensor that lost the largest part of its change to rounding."""
    if not roundings:
        return {}
    name = max(roundings, key=lambda name: (roundings[name].share, name))
    return {"most_rounded_tensor": name, "most_rounded_share": roundings[name].share}


def serve_beside(base: Path, adapter: Path, model: Path, workbench: Workbench) -> dict[str, object]:
    """Fills `model` with the adapter and, in a folder below it, its base; nothing loads it as if it were the base alone."""
    for path in sorted(path for path in adapter.iterdir() if path.is_file() and path.name != MANIFEST):
        shutil.copyfile(path, model / path.name)
    beside = model / BESIDE
    beside.mkdir()
    kept = [CONFIG, GENERATION_CONFIG, *([INDEX] if (base / INDEX).is_file() else [])]
    for path in [*(base / name for name in kept if (base / name).is_file()), *weight_files(base)]:
        shutil.copyfile(path, beside / path.name)
    if not has_tokenizer(adapter):
        copy_tokenizer(base, model)
    kind = str(read_adapter_config(adapter)["peft_type"])
    facts: dict[str, object] = {"merged": False, "kind": kind, "why_not": why_not(kind)}
    digests = {f"{name}_digest": workbench.input_digests.get(name) for name in ("base", "adapter")}
    write_json(model / CERTIFICATE, facts | digests)
    return facts


def write_settings(
    base: Path, adapter: Path, config: PreTrainedConfig, folder: Path, *, tokens: int, is_tied: bool
) -> None:
    """Writes config.json and generation_config.json; where generation stops is the adapter's to say."""
    text = config.get_text_config()
    text.vocab_size, text.tie_word_embeddings, config.tie_word_embeddings = tokens, is_tied, is_tied
    source = next((place for place in (adapter, base) if (place / GENERATION_CONFIG).is_file()), None)
    if source is not None:
        shutil.copyfile(source / GENERATION_CONFIG, folder / GENERATION_CONFIG)
        text.eos_token_id = GenerationConfig.from_pretrained(folder).eos_token_id
    config.save_pretrained(folder)


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def certify(
    base: Path, adapter: Path, examples: Path | None, model: Path, *, tokens: int, params: MergeParams
) -> dict[str, object]:
    """The measured equality of the model on disk with base and adapter; DataError when it is not enough."""
    prompts = choose_prompts(examples, tokens, params)
    found = compare(adapted_logits(base, adapter, tokens, prompts), merged_logits(model, prompts, tokens))
    dtype = load_config(base).dtype
    allowed = allowed_difference(params, found, dtype if isinstance(dtype, torch.dtype) else torch.float32)
    if not found.max_logit_difference <= allowed:
        raise DataError(
            f"the merged model differs from base and adapter by up to {found.max_logit_difference:.3g} in a logit, more than "
            f"the {allowed:.3g} allowed, and its most likely token in {1 - found.top1_agreement:.1%} of {found.positions} "
            f"positions; nothing is published. Serve the adapter unmerged, or allow more with max_logit_difference"
        )
    return {
        **found._asdict(),
        "allowed_logit_difference": allowed,
        "prompts": len(prompts),
        "prompts_from": "fixed token ids" if examples is None else "examples",
        "weights_precision": str(dtype).removeprefix("torch."),
    }
