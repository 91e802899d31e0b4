"""An adapter as changes to single tensors of its base: which it changes, and into what."""

import math
import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stages.errors import ConfigError, DataError
from stages.merge.changes import Change, LowRank, Replaced, Scaled, Shifted, TrainedRows, Upon
from stages.modelling.adapters import ADAPTER_WEIGHTS, MERGEABLE, VIRTUAL_TOKENS, read_adapter_config
from stages.modelling.models import ADAPTER_CONFIG
from stages.modelling.tensor_files import TensorFile

PREFIX = "base_model.model."  # of every tensor in a PEFT adapter
# Settings that say nothing about the weights, or that the merge follows.
UNDERSTOOD = {
    "alpha", "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "exclude_modules",
    "fan_in_fan_out", "feedforward_modules", "inference_mode", "init_ia3_weights", "layers_pattern", "layers_to_transform",
    "lora_alpha", "lora_bias", "lora_dropout", "megatron_core", "modules_to_save", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "target_modules", "task_type", "trainable_token_indices",
    "use_dora", "use_rslora",
}  # fmt: skip
WHY_NOT = {
    **dict.fromkeys(VIRTUAL_TOKENS, "virtual tokens stand before the text and change no weight"),
    "BOTTLENECK": "it has layers of its own that are not linear",
}


class Adapter(NamedTuple):
    """Names are those of the base's tensors as the model calls them."""

    changes: Mapping[str, Change]
    kind: str
    rank: int | None

    def replaced(self, name: str) -> Replaced | None:
        """The tensor that stands in place of the base's, if the adapter brings one."""
        change = self.changes.get(name)
        change = change.replaced if isinstance(change, Upon) else change
        return change if isinstance(change, Replaced) else None


def is_mergeable(folder: Path) -> bool:
    """Whether the adapter is of a kind that can become part of the weights."""
    return read_adapter_config(folder).get("peft_type") in MERGEABLE


def why_not(kind: str) -> str:
    """Why adapters of that kind cannot become part of the weights."""
    return WHY_NOT.get(kind, "it is not known how")


def read_adapter(folder: Path, transposed: Collection[str]) -> Adapter:
    """The adapter in `folder`; ConfigError for one that is missing or of a kind that cannot be merged.

    `transposed` are the tensors that the base stores as in x out.
    """
    config = read_adapter_config(folder)
    _refuse_unknown(folder / ADAPTER_CONFIG, config)
    file = TensorFile(folder / ADAPTER_WEIGHTS)
    _refuse_no_numbers(file)
    changes: dict[str, Change] = {}
    beneath: dict[str, Replaced] = {}
    for key in sorted(set(file.places) - _copies(file)):
        module, kind = _split(key.removeprefix(PREFIX))
        if kind.startswith(BENEATH):
            beneath[f"{module}.{kind.removeprefix(BENEATH)}"] = _replaced(file, key)
            continue
        change = _change(file, key, kind, module, config, transposed)
        for name, made in change.items():
            if name in changes:
                raise ConfigError(f"{file.path} changes {name} in two ways, which is not known to merge")
            changes[name] = made
    changes |= {name: Upon(under, changes[name]) if name in changes else under for name, under in beneath.items()}
    if not changes:
        raise ConfigError(f"{file.path} holds no update that is known; only LoRA and IA3 adapters can be merged")
    return Adapter(changes, str(config["peft_type"]), int(config["r"]) if "r" in config else None)


def _copies(file: TensorFile) -> set[str]:
    """What PEFT saves once more under its own names when it saves the embeddings unasked: trained, and as they were."""
    named = ((key, COPY.sub(r".\1", key)) for key in file.places)
    return {key for key, plain in named if plain != key and plain in file.places}


def _replaced(file: TensorFile, key: str) -> Replaced:
    return Replaced(file.places[key].shape, lambda start, stop: file.rows(key, start, stop))


def _refuse_no_numbers(file: TensorFile) -> None:
    """A training that went wrong leaves NaN or infinity; among embeddings they may stand where no prompt looks."""
    bad = [name for name in file.places if not bool(torch.isfinite(file.rows(name)).all())]
    if bad:
        raise DataError(
            f"{file.path}: {len(bad)} of {len(file.places)} tensors hold NaN or infinity (first: {bad[0]}), so training "
            f"went wrong; train again with a lower learning rate"
        )


KEY = re.compile(
    r"(?P<module>.*?)\.(?P<kind>lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_magnitude_vector(\.weight)?|lora_embedding_[AB]"
    r"|ia3_l|token_adapter\.trainable_tokens_delta|base_layer\.(weight|bias)|weight|bias)"
)
BENEATH = "base_layer."  # what lies under an update, where it was trained or saved too
COPY = re.compile(r"\.(?:original_module|modules_to_save)\.(weight|bias)$")


def _split(name: str) -> tuple[str, str]:
    found = KEY.fullmatch(name)
    if found is None or "lora_" in found["module"]:
        raise ConfigError(f"{ADAPTER_WEIGHTS} holds tensors of another kind ({name}); it is not known how they merge")
    return found["module"], found["kind"]


def _change(
    file: TensorFile, key: str, kind: str, module: str, config: Mapping[str, Any], transposed: Collection[str]
) -> dict[str, Change]:
    """What this tensor of the adapter changes; nothing for one that is read along with another."""
    weight, bias, stem = f"{module}.weight", f"{module}.bias", key.removesuffix(kind)
    if kind in ("lora_A.weight", "lora_embedding_A"):
        other = "lora_B.weight" if kind == "lora_A.weight" else "lora_embedding_B"
        if stem + other not in file.places:
            raise DataError(f"{file.path} lacks {stem + other}, the other half of an update; train the adapter again")
        magnitude = next((partial(file.rows, stem + n) for n in MAGNITUDES if stem + n in file.places), None)
        is_transposed = weight in transposed or kind == "lora_embedding_A"
        rank, inputs, outputs = _halves(file, key, stem + other)
        halves = partial(file.rows, key), partial(file.rows, stem + other)
        return {weight: LowRank(*halves, (outputs, inputs), _scaling(module, rank, config), is_transposed, magnitude)}
    if kind == "lora_B.bias":
        rank = file.places[stem + "lora_A.weight"].shape[0]
        return {bias: Shifted(file.rows(key), _scaling(module, rank, config))}
    if kind == "ia3_l":
        scales = file.rows(key)
        changes: dict[str, Change] = {weight: Scaled(scales.T if weight in transposed else scales)}
        # A layer's outputs are scaled with their bias, which the base need not have; its inputs are not.
        return changes if scales.shape[0] == 1 else changes | {bias: Scaled(scales.flatten())}
    if kind == "token_adapter.trainable_tokens_delta":
        return {weight: TrainedRows(_token_places(module, config), file.rows(key))}
    if kind in ("weight", "bias"):
        return {f"{module}.{kind}": _replaced(file, key)}
    return {}


def _halves(file: TensorFile, key: str, other: str) -> tuple[int, int, int]:
    """Rank, inputs and outputs of an update; DataError for two halves that are not of one."""
    down, up = file.places[key].shape, file.places[other].shape
    if len(down) != 2 or len(up) != 2 or down[0] != up[1] or not down[0]:
        raise DataError(
            f"{file.path}: {key} of {list(down)} and {other} of {list(up)} are not two halves of one update; copy the "
            f"adapter again"
        )
    return down[0], down[1], up[0]


MAGNITUDES = ("lora_magnitude_vector", "lora_magnitude_vector.weight")


def _scaling(module: str, rank: int, config: Mapping[str, Any]) -> float:
    """Alpha over rank, or over its root; a pattern may say another alpha for some modules."""
    patterns = config.get("alpha_pattern") or {}
    try:
        # The first that fits the end of the name. Source: `get_pattern_key` in PEFT.
        alpha = next((a for p, a in patterns.items() if re.match(rf"(.*\.)?({p})$", module)), config["lora_alpha"])
        return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))
    except (KeyError, TypeError, re.error) as error:
        raise ConfigError(
            f"{ADAPTER_CONFIG}: lora_alpha and alpha_pattern do not say how much of the update of {module} counts "
            f"({error!r}); copy the adapter again"
        ) from error


def _token_places(module: str, config: Mapping[str, Any]) -> torch.Tensor:
    """The token ids that were trained, by layer or for the embeddings."""
    stated = config.get("trainable_token_indices")
    if isinstance(stated, dict):
        stated = next((ids for name, ids in stated.items() if module == name or module.endswith(f".{name}")), None)
    if not stated:
        raise DataError(f"{ADAPTER_CONFIG} does not say which tokens of {module} were trained; train the adapter again")
    return torch.tensor(stated)


def _refuse_unknown(path: Path, config: Mapping[str, Any]) -> None:
    from peft import LoraConfig  # heavy, and of no use to those who only ask for a kind

    kind = config.get("peft_type")
    if kind not in MERGEABLE:
        raise ConfigError(
            f"{path}: adapters of kind {kind} cannot be added to the weights of their base ({why_not(str(kind))}); set unmergeable=serve, "
            f"and base and adapter are published side by side"
        )
    usual = LoraConfig().to_dict()
    unusual = sorted(n for n, value in config.items() if n not in UNDERSTOOD and value and value != usual.get(n))
    if unusual or config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        what = ", ".join(f"{name}={config[name]!r}" for name in unusual or ["init_lora_weights"])
        raise ConfigError(
            f"{path}: {what} is not known to merge; merge with the tool that trained it, or train plain LoRA"
        )
