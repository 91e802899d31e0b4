"""Merges: a base and its adapter in, one model with a certificate of equal logits out."""

import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedConfig

from stages.contract import Workbench
from stages.errors import DataError
from stages.merge.certificate import adapted_logits, allowed_difference, choose_prompts, compare, merged_logits
from stages.merge.deltas import read_adapter
from stages.merge.embeddings import names_of, rows_after, settle_tied
from stages.merge.shards import match_names, tensor_names, write_merged
from stages.merge.stage import MergeParams
from stages.models import GENERATION_CONFIG, TOKENIZER_FILES, copy_tokenizer, load_config, repeatable
from stages.storage import write_json

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
        names = names_of(config)
        read = read_adapter(adapter)
        tokens = rows_after(read, names, config)
        base_names = tensor_names(base)
        settled, is_tied = settle_tied(read, names, base_names)
        added = {names.output_matrix} if names.is_tied and not is_tied else set()
        write_merged(base, match_names(settled, base_names, names.inner_model, added), model)
        write_settings(base, adapter, config, model, tokens=tokens, is_tied=is_tied)
        copy_tokenizer(adapter if has_tokenizer(adapter) else base, model)
        certificate = certify(base, adapter, examples, model, tokens=tokens, params=params)
    stated = certificate | {"rank": read.rank, "base_digest": workbench.input_digests.get("base"),
                            "adapter_digest": workbench.input_digests.get("adapter")}  # fmt: skip
    write_json(model / CERTIFICATE, stated)
    return certificate


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
    found = compare(adapted_logits(base, adapter, tokens, prompts), merged_logits(model, prompts))
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
