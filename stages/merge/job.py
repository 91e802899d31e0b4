"""Merges: a base and its adapter in, one model with a certificate of equal logits out."""

import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedConfig

import stages.modelling.without_scipy  # noqa: F401 - before all that loads PEFT
from stages.contract import Progress, Workbench
from stages.errors import DataError
from stages.merge.certificate import (
    ROUNDING,
    HeldOut,
    adapted_logits,
    allowed_difference,
    compare,
    held_out,
    merged_logits,
    random_prompts,
)
from stages.merge.changes import Replaced
from stages.merge.deltas import Adapter, is_mergeable, read_adapter, why_not
from stages.merge.embeddings import Names, names_of, rows_after, settle_tied
from stages.merge.quantised import Candidate, FourBitFile, choose, four_bit_folder, losses
from stages.merge.shards import Rounding, match_names, write_merged
from stages.merge.stage import MergeParams
from stages.modelling.adapters import quantised_layers, read_adapter_config
from stages.modelling.models import (
    ADAPTER_CONFIG,
    CONFIG,
    INDEX,
    TOKENIZER_FILES,
    copy_tokenizer,
    load_config,
    repeatable,
    weight_files,
)
from stages.modelling.served_model import BESIDE, MERGE_CERTIFICATE
from stages.modelling.tensor_files import TYPES, TensorFolder, give_memory_back
from stages.modelling.tokenizer_files import GENERATION_CONFIG
from stages.store.storage import MANIFEST, write_json


def run(
    base: Path, adapter: Path, *, examples: Path | None = None, model: Path, params: MergeParams, workbench: Workbench
) -> dict[str, object]:
    """Fills `model`; the same inputs give the same bytes on a CPU.

    Raises ConfigError for an adapter that cannot be merged, and DataError when adapter and base do not fit each other or
    the merged model, read back, differs from them by more than is allowed.
    """
    give_memory_back()
    refuse_other_base(adapter, workbench.input_digests.get("base"))
    if params.unmergeable == "serve" and not is_mergeable(adapter):
        load_config(base)
        return serve_beside(base, adapter, model, workbench)
    with repeatable(params.cpu_threads):
        work = _prepare(base, adapter, examples, params, workbench.progress)
        layers = quantised_layers(adapter)
        certificate = _best_of_two(work, layers, model, workbench) if layers else _merge(work, work.weights, model)
    digests = {f"{name}_digest": workbench.input_digests.get(name) for name in ("base", "adapter")}
    stated = {"merged": True, "kind": work.read.kind, "rank": work.read.rank} | certificate.stated | digests
    rounding = {
        name: rounding._asdict() | {"share": rounding.share} for name, rounding in certificate.roundings.items()
    }
    write_json(model / MERGE_CERTIFICATE, stated | {"rounding": rounding})
    return certificate.stated | _worst(certificate.roundings) | {"told": _in_words(certificate.stated)}


def _in_words(stated: Mapping[str, object]) -> list[str]:
    """The certificate, and of two bases which was chosen."""
    bases = {"stored": "as it is stored", "four_bit": "in four bits, as it was trained on"}
    chosen = [f"merged into the base {bases[str(stated['merged_into'])]}"] if "merged_into" in stated else []
    return [
        f"logits differ by at most {stated['max_logit_difference']:.2g} from base and adapter "
        f"({stated['allowed_logit_difference']:.2g} allowed), with the same most likely token in "
        f"{stated['top1_agreement']:.2%} of {stated['positions']:,} positions",
        *chosen,
    ]


DIGEST = re.compile("[0-9a-f]{64}")


def refuse_other_base(adapter: Path, digest: str | None) -> None:
    """An adapter made by train names its base by digest; a name or path, which others write, says nothing here."""
    named = str(read_adapter_config(adapter).get("base_model_name_or_path"))
    if digest is not None and DIGEST.fullmatch(named) and named != digest:
        raise DataError(
            f"the adapter was trained on the base with digest {named[:12]}, and this one has {digest[:12]}; give the base that "
            f"it was trained on, or, where only files beside the weights differ, take base_model_name_or_path out of {ADAPTER_CONFIG}"
        )


ALMOST_ENDLESS = 2**31  # tokens; stands for a model that states no longest input


class Work(NamedTuple):
    """What is merged, and how it is checked."""

    base: Path
    adapter: Path
    weights: TensorFolder
    names: Names
    read: Adapter
    tokens: int  # rows of embeddings of the merged model
    prompts: list[Tensor]
    examples: Path | None  # where the prompts come from
    longest: int  # tokens that the model reads at once
    params: MergeParams
    progress: Progress


class Merged(NamedTuple):
    """What is told about a merged model."""

    stated: dict[str, object]
    roundings: dict[str, Rounding]


def _prepare(base: Path, adapter: Path, examples: Path | None, params: MergeParams, progress: Progress) -> Work:
    config = load_config(base)
    weights = TensorFolder.of_model(base)
    names = names_of(config, weights.file_of)
    read = read_adapter(adapter, names.transposed)
    tokens = rows_after(read, names, config)
    longest = int(getattr(config.get_text_config(), "max_position_embeddings", None) or ALMOST_ENDLESS)
    asked = params.check_prompts, min(params.check_tokens, longest)
    prompts = random_prompts(tokens, *asked) if examples is None else held_out(examples, tokens, *asked).prompts
    return Work(base, adapter, weights, names, read, tokens, prompts, examples, longest, params, progress)


def _merge(work: Work, weights: TensorFolder, model: Path) -> Merged:
    """Writes the model whose base is `weights`, and proves it."""
    settled, is_tied = settle_tied(work.read, work.names, set(work.names.stored))
    added = {work.names.output_matrix} if work.names.is_tied and not is_tied else set()
    matched = match_names(settled, work.names.stored, added)
    # What four bits made of a tensor is written even where the adapter changes nothing.
    also = {
        name: Replaced(file.places[name].shape, partial(file.rows, name))
        for file in weights.files
        if isinstance(file, FourBitFile)
        for name in file.names & set(file.places) - set(matched.changes)
    }
    whole = matched._replace(changes={**matched.changes, **also})
    dtypes = [TYPES[weights.place(name).dtype] for name in whole.changes if name in weights]
    dtype = max(dtypes, key=lambda dtype: ROUNDING.get(dtype, 1), default=torch.float32)
    roundings = write_merged(weights, whole, model, progress=work.progress, threads=work.params.cpu_threads)
    write_settings(work.base, work.adapter, load_config(work.base), model, tokens=work.tokens, is_tied=is_tied)
    copy_tokenizer(work.adapter if has_tokenizer(work.adapter) else work.base, model)
    return Merged(certify(work, weights, model, dtype), roundings)


def _best_of_two(work: Work, layers: list[str], model: Path, workbench: Workbench) -> Merged:
    """Merges into the stored base and into what four bits made of it, and keeps the better model."""
    four_bit = four_bit_folder(work.base, layers, work.names.stored, work.names.transposed)
    asked = work.params.base_prompts, min(work.params.base_tokens, work.longest)
    judged = HeldOut([], []) if work.examples is None else held_out(work.examples, work.tokens, *asked)
    merged: dict[str, Merged] = {}
    candidates: dict[str, Candidate] = {}
    for name, weights in (("stored", work.weights), ("four_bit", four_bit)):
        folder = workbench.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        merged[name] = _merge(work._replace(progress=partial(workbench.progress, into=name)), weights, folder)
        trained = adapted_logits(work.base, work.adapter, work.tokens, work.prompts, four_bit)
        distance = compare(trained, merged_logits(folder, work.prompts, work.tokens)).mean_kl
        found = merged_logits(folder, judged.prompts, work.tokens) if judged.prompts else iter(())
        candidates[name] = Candidate(distance, losses(found, judged))
    choice = choose(candidates, judged.counted)
    for path in sorted((workbench.scratch / choice.merged_into).iterdir()):
        shutil.move(path, model / path.name)
    tokens = sum(judged.counted)
    bases: dict[str, object] = {"loss_tokens": tokens, "loss_examples": len(judged.prompts)}
    for name, candidate in candidates.items():
        bases[f"{name}_base_mean_kl"] = candidate.mean_kl
        bases[f"{name}_base_loss"] = sum(candidate.losses) / tokens if tokens else None
    chosen = merged[choice.merged_into]
    return chosen._replace(stated=chosen.stated | choice._asdict() | bases)


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
    write_json(model / MERGE_CERTIFICATE, facts | digests)
    return facts | {"told": [f"not merged, base and adapter side by side: {facts['why_not']}"]}


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


def certify(work: Work, weights: TensorFolder, model: Path, dtype: torch.dtype) -> dict[str, object]:
    """The measured equality of the model on disk with base and adapter; DataError when it is not enough.

    `dtype` is the coarsest that a changed tensor is stored in.
    """
    files = None if weights is work.weights else weights
    work.progress(0, 2, "models asked", now="base and adapter, for the certificate")
    expected = adapted_logits(work.base, work.adapter, work.tokens, work.prompts, files)
    work.progress(1, 2, "models asked", now="the merged one, as it lies on disk")
    found = compare(expected, merged_logits(model, work.prompts, work.tokens))
    allowed = allowed_difference(work.params, found, dtype)
    if not found.max_logit_difference <= allowed:
        raise DataError(
            f"the merged model differs from base and adapter by up to {found.max_logit_difference:.3g} in a logit, more than "
            f"the {allowed:.3g} allowed, and its most likely token in {1 - found.top1_agreement:.1%} of {found.positions} "
            f"positions; nothing is published. Serve the adapter unmerged, or allow more with max_logit_difference"
        )
    return {
        **found._asdict(),
        "allowed_logit_difference": allowed,
        "prompts": len(work.prompts),
        "prompts_from": "examples" if work.examples else "fixed token ids",
        "weights_precision": str(dtype).removeprefix("torch."),
    }
