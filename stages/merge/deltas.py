"""An adapter as changes to single tensors of its base: which it changes, and into what."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stages.errors import ConfigError, DataError
from stages.models import PICKLES

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # of every tensor in a PEFT adapter
# Settings that say nothing about the weights, or that the merge follows.
UNDERSTOOD = {
    "alpha", "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "exclude_modules", "fan_in_fan_out",
    "inference_mode", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "modules_to_save", "peft_type",
    "peft_version", "r", "revision", "target_modules", "task_type", "use_rslora",
}  # fmt: skip


class Adapter(NamedTuple):
    """A LoRA adapter. Names are those of the base's tensors as the model calls them."""

    low_rank: Mapping[str, tuple[Tensor, Tensor]]  # name -> A (rank x in), B (out x rank)
    replaced: Mapping[str, Tensor]  # name -> the whole tensor, trained beside
    scaling: float
    is_transposed: bool  # the base stores these weights as in x out
    rank: int

    @property
    def names(self) -> set[str]:
        return {*self.low_rank, *self.replaced}

    def renamed(self, rename: Callable[[str], str]) -> "Adapter":
        return self._replace(
            low_rank={rename(name): halves for name, halves in self.low_rank.items()},
            replaced={rename(name): tensor for name, tensor in self.replaced.items()},
        )

    def changed(self, name: str, weight: Tensor) -> Tensor:
        """The tensor of the merged model: computed in float32, then rounded once to the precision of the base.

        DataError when the update does not fit the tensor.
        """
        if name in self.replaced:
            return self.replaced[name].to(weight.dtype)
        if name not in self.low_rank:
            return weight
        down, up = self.low_rank[name]
        delta = self.scaling * (up.float() @ down.float())
        delta = delta.T if self.is_transposed else delta
        if delta.shape != weight.shape:
            raise DataError(
                f"the adapter changes {name} by a matrix of {list(delta.shape)}, and the base has {list(weight.shape)}; "
                f"give the base that the adapter was trained on"
            )
        return (weight.float() + delta).to(weight.dtype)


def read_adapter(folder: Path) -> Adapter:
    """The adapter in `folder`; ConfigError for one that is missing or of a kind that is not a plain low-rank update."""
    config = _read_config(folder)
    tensors = _read_tensors(folder)
    low_rank: dict[str, tuple[Tensor, Tensor]] = {}
    replaced: dict[str, Tensor] = {}
    for key in sorted(tensors):
        name = key.removeprefix(PREFIX)
        if name.endswith(".lora_A.weight"):
            module = name.removesuffix(".lora_A.weight")
            low_rank[f"{module}.weight"] = (
                tensors[key],
                _other_half(tensors, f"{PREFIX}{module}.lora_B.weight", folder),
            )
        elif not name.endswith(".lora_B.weight"):
            replaced[name] = tensors[key]
    strange = [name for name in replaced if "lora_" in name or not name.endswith((".weight", ".bias"))]
    if strange or not low_rank:
        found = f"tensors of another kind ({strange[0]})" if strange else "no low-rank update"
        raise ConfigError(f"{folder / ADAPTER_WEIGHTS} holds {found}; only plain LoRA adapters can be merged")
    rank = int(config["r"])
    scaling = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return Adapter(low_rank, replaced, scaling, bool(config.get("fan_in_fan_out")), rank)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / ADAPTER_CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder} holds no readable {ADAPTER_CONFIG}, so it is no adapter; give a PEFT folder"
        ) from error
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ConfigError(
            f"{path}: adapters of kind {kind} cannot be added to the weights of their base; serve them beside it"
        )
    usual = LoraConfig().to_dict()
    unusual = sorted(n for n, value in config.items() if n not in UNDERSTOOD and value and value != usual.get(n))
    if unusual or config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        what = ", ".join(f"{name}={config[name]!r}" for name in unusual or ["init_lora_weights"])
        raise ConfigError(
            f"{path}: {what} is not known to merge; merge with the tool that trained it, or train plain LoRA"
        )
    return config


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / ADAPTER_WEIGHTS
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if not path.is_file():
        found = f"only pickled weights ({pickles[0]}), which can run any code when opened" if pickles else "no weights"
        raise ConfigError(f"{folder} holds {found}; give a PEFT folder with {ADAPTER_WEIGHTS}")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}); run the stage that made it again") from error
    return tensors


def _other_half(tensors: Mapping[str, Tensor], key: str, folder: Path) -> Tensor:
    if key not in tensors:
        raise DataError(f"{folder / ADAPTER_WEIGHTS} lacks {key}, the other half of an update; train the adapter again")
    return tensors[key]
