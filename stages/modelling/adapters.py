"""Opens a base with an adapter of any kind, and changes between several adapters on one base."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from stages.errors import ConfigError, DataError
from stages.modelling.bottleneck import NAME, add_bottlenecks, remove_bottlenecks
from stages.modelling.models import (
    ADAPTER_CONFIG,
    PICKLES,
    add_token_rows,
    embedding_rows,
    load_config,
    load_model,
    quiet_peft,
    weights_folder,
)
from stages.modelling.nf4 import quantise_layers
from stages.modelling.prompted import PromptedDecoder
from stages.modelling.served_model import BOTTLENECK
from stages.modelling.tensor_files import TensorFile

ADAPTER_WEIGHTS = "adapter_model.safetensors"
QUANTISATION = "base_quantization.json"  # beside an adapter that was trained on a base in four bits
VIRTUAL_TOKENS = ("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING")
MERGEABLE = ("LORA", "IA3")
KINDS = (*MERGEABLE, *VIRTUAL_TOKENS, BOTTLENECK)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """What the adapter says of itself; ConfigError for a folder that holds none, or only pickled weights."""
    path = folder / ADAPTER_CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no mapping")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder} holds no readable {ADAPTER_CONFIG}, so it is no adapter; give a PEFT folder"
        ) from error
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
        found = f"only pickled weights ({pickles[0]}), which can run any code when opened" if pickles else "no weights"
        raise ConfigError(f"{folder} holds {found}; give a PEFT folder with {ADAPTER_WEIGHTS}")
    return config


def load_adapted(
    base: Path, adapter: Path, dtype: torch.dtype | None = None, *, tokens: int = 0, quantised: bool | None = None
) -> PreTrainedModel:
    """Base and adapter as one model in evaluation mode, not merged: hidden states, logits and `generate` are the adapter's.

    `tokens` are the rows of embeddings that are wanted; no fewer than the adapter was trained with are there.
    `quantised` decides whether the base is put in four bits; None = as the adapter was trained.
    """
    model = load_model(base, dtype)
    _Fitted(model, adapter, tokens=tokens, quantised=quantised)
    attach(model, adapter)
    return model.eval()


def quantised_layers(adapter: Path) -> list[str]:
    """The layers of the base that were in four bits when the adapter was trained."""
    path = adapter / QUANTISATION
    return list(json.loads(path.read_text(encoding="utf-8"))["layers"]) if path.is_file() else []


def token_rows(folder: Path) -> int:
    """How many token ids the model in `folder` can read; an adapter beside its base may have brought some."""
    rows = int(load_config(folder).get_text_config().vocab_size)
    if weights_folder(folder) == folder or read_adapter_config(folder).get("peft_type") != BOTTLENECK:
        return rows
    places = TensorFile(folder / ADAPTER_WEIGHTS).places
    # Whole matrices of embeddings are all that is trained beside the bottlenecks.
    return max(rows, *(place.shape[0] for name, place in places.items() if f".{NAME}." not in name), 0)


class Attached(Protocol):
    """An adapter in its place on a model."""

    def remove(self) -> None: ...


class _Fitted:
    """The base as it was when the adapter was trained on it: with rows for its tokens, and in four bits where it was."""

    def __init__(self, model: PreTrainedModel, folder: Path, *, tokens: int = 0, quantised: bool | None = None) -> None:
        self.model, self.rows = model, embedding_rows(model)
        add_token_rows(model, max(tokens, _rows_in(folder, model)))
        layers = [] if quantised is False else quantised_layers(folder)
        self.whole = {name: model.get_submodule(name) for name in layers}
        quantise_layers(model, layers)

    def remove(self) -> None:
        for name, layer in self.whole.items():
            self.model.set_submodule(name, layer)
        if embedding_rows(self.model) != self.rows:
            self.model.resize_token_embeddings(self.rows, mean_resizing=False)


def _rows_in(folder: Path, model: PreTrainedModel) -> int:
    """Rows of the embeddings that the adapter brings; 0 where it leaves the base's."""
    read_adapter_config(folder)
    own = next(name for name, module in model.named_modules() if module is model.get_input_embeddings())
    places = TensorFile(folder / ADAPTER_WEIGHTS).places
    ends = (f"{own}.weight", f"{own}.base_layer.weight")
    return max((place.shape[0] for name, place in places.items() if name.endswith(ends)), default=0)


class _Peft:
    """An adapter that PEFT puts inside the layers."""

    def __init__(self, model: PreTrainedModel, folder: Path) -> None:
        self.model, self.before = model, dict(model.named_modules())
        try:
            with quiet_peft():
                warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
                self.adapted = PeftModel.from_pretrained(model, str(folder))
        except UserWarning as error:
            self._put_back()
            raise DataError(
                f"{folder / ADAPTER_WEIGHTS} lacks tensors that its settings name; copy the adapter again"
            ) from error
        except (RuntimeError, KeyError) as error:  # torch's, with a line for each weight; PEFT's for a whole matrix
            self._put_back()
            raise DataError(
                f"{folder} does not fit the base: {str(error).splitlines()[-1].strip()} "
                f"Give the base that the adapter was trained on"
            ) from error
        self.prompt = None
        if self.adapted.active_peft_config.is_prompt_learning:
            self.prompt = PromptedDecoder(self.adapted)
            self.prompt.install()

    def remove(self) -> None:
        if self.prompt is not None:
            self.prompt.remove()
        else:
            self.adapted.unload()
        self._put_back()

    def _put_back(self) -> None:
        """The modules that PEFT leaves in the model: copies that were trained whole, and all of an adapter that failed."""
        for name, module in self.before.items():
            if name and self.model.get_submodule(name) is not module:
                self.model.set_submodule(name, module)


class _Bottlenecks:
    """Layers beside the model's own, and embeddings in place of the model's where they were trained too."""

    def __init__(self, model: PreTrainedModel, folder: Path) -> None:
        config, tensors = read_adapter_config(folder), load_file(folder / ADAPTER_WEIGHTS)
        self.model = model
        self.handles = add_bottlenecks(model, int(config["size"]), config["places"])
        self.replaced = {n: t.clone() for n, t in model.state_dict().items() if n in tensors and "bottleneck" not in n}
        _copy_into(model, tensors, folder)

    def remove(self) -> None:
        remove_bottlenecks(self.model, self.handles)
        _copy_into(self.model, self.replaced, Path())


def attach(model: PreTrainedModel, folder: Path) -> Attached:
    """Puts the adapter on the model, in place; ConfigError for a kind that is not known here."""
    kind = read_adapter_config(folder).get("peft_type")
    if kind not in KINDS:
        raise ConfigError(f"{folder}: adapters of kind {kind} are not known here; known are {', '.join(KINDS)}")
    return _Bottlenecks(model, folder) if kind == BOTTLENECK else _Peft(model, folder)


class AdapterSwitch:
    """Several adapters for one base, of which one or none is in effect.

        switch = AdapterSwitch(load_model(base), {"french": folder, "code": other_folder})
        switch.use("french"); switch.use(None)

    The base is in memory once, and in four bits beside that while an adapter is used that was trained so. Without an
    adapter it is, to the bit, what it was.
    """

    def __init__(self, model: PreTrainedModel, folders: Mapping[str, Path]) -> None:
        self.model, self.folders = model, dict(folders)
        self.current: str | None = None
        self._attached: list[Attached] = []

    def use(self, name: str | None) -> PreTrainedModel:
        """The model with that adapter, or with none; ConfigError for a name that was not given."""
        if name is not None and name not in self.folders:
            raise ConfigError(f"no adapter is named {name}; there are {', '.join(sorted(self.folders))}")
        if name != self.current:
            while self._attached:
                self._attached.pop().remove()
            self.current = None
            if name is not None:
                self._put_on(self.folders[name])
            self.current = name
        return self.model.eval()

    def _put_on(self, folder: Path) -> None:
        fitted = _Fitted(self.model, folder)
        try:
            self._attached = [fitted, attach(self.model, folder)]
        except BaseException:  # whatever it was, the base is as it was
            fitted.remove()
            raise


@torch.no_grad()
def _copy_into(model: PreTrainedModel, tensors: Mapping[str, Tensor], folder: Path) -> None:
    weights = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in tensors.items():
        if name not in weights or weights[name].shape != tensor.shape:
            raise DataError(
                f"{folder / ADAPTER_WEIGHTS}: the model has no weight {name} of shape {list(tensor.shape)}; give the base "
                f"that the adapter was trained on"
            )
        weights[name].copy_(tensor)
