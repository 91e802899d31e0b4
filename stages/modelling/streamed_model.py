"""A model whose weights stay on disk: each layer reads its own when it is called, and lets go of them afterwards.

For one forward pass over few tokens, in the memory of the largest layers. Computes in float32.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM, PreTrainedModel

from stages.modelling.models import attention_of, load_config, stored_names
from stages.modelling.tensor_files import Float32Rows, TensorFolder

BLOCK_ELEMENTS = 2**20  # of a matrix, read at once: 4 MiB in float32; far smaller ones make slow products


def build_streamed(folder: Path, *, tokens: int) -> PreTrainedModel:
    """The model in `folder` with `tokens` rows of embeddings and placeholders that take no memory for weights.

    An adapter may be put on it before `stream` gives it its weights.
    """
    config = load_config(folder)
    config.get_text_config().vocab_size = tokens
    with init_empty_weights(include_buffers=False), unfilled_memory():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, attn_implementation=attention_of(config), trust_remote_code=False
        )
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                # An adapter may write into the small ones.
                empty = torch.zeros(weight.shape) if weight.ndim < 2 else torch.zeros(()).expand(weight.shape)
                module._parameters[name] = nn.Parameter(empty, requires_grad=False)
    model.tie_weights()
    return model.eval()


@contextmanager
def unfilled_memory() -> Iterator[None]:
    """Inside, torch does not write into memory that nobody has written: each weight has some until it is a placeholder.

    Under deterministic algorithms it fills all new memory with a known value, and only then does the memory exist.
    """
    switches: Any = torch.utils.deterministic
    before = switches.fill_uninitialized_memory
    switches.fill_uninitialized_memory = False
    try:
        yield
    finally:
        switches.fill_uninitialized_memory = before


def sources(model: PreTrainedModel, files: TensorFolder) -> dict[int, str] | None:
    """Weight, by identity, -> its name in the files; small ones are read at once instead and are not among them.

    None when the files hold them in another form than the model does, as those of some architectures.
    """
    found: dict[int, str] = {}
    names = stored_names(model, files.file_of)
    for name, buffer in model.named_buffers():
        if name in files:
            buffer.copy_(files.rows(name))
    for name, weight in model.named_parameters(remove_duplicate=False):
        stored = names.get(name)
        if stored is not None and files.place(stored).shape != tuple(weight.shape):
            # Rows that the base lacks are the adapter's, which brings the matrix whole.
            found.setdefault(id(weight), stored)
        elif stored is not None and weight.ndim < 2:
            weight.data.copy_(files.rows(stored))
            found.setdefault(id(weight), "")
        elif stored is not None:
            found.setdefault(id(weight), stored)
    is_whole = all(id(weight) in found for weight in model.parameters())
    return {key: name for key, name in found.items() if name} if is_whole else None


def stream(model: nn.Module, files: TensorFolder, named: Mapping[int, str]) -> None:
    """From here on each layer reads its weights when it is called. `named` is what `sources` gave before any adapter."""
    whole = [m for m in model.modules() if isinstance(m, BaseTunerLayer) and not _is_plain(m)]
    inside = {id(part) for layer in whole for part in layer.modules()}
    reader = Float32Rows(files)  # one for all: layers are called one after the other
    inputs = [m.get_input_embeddings() for m in model.modules() if isinstance(m, PreTrainedModel)]
    for module in list(model.modules()):
        own = {n: named[id(w)] for n, w in module._parameters.items() if w is not None and id(w) in named}
        if id(module) in inside or not own:
            continue
        if isinstance(module, nn.Embedding) and (type(module) is nn.Embedding or module in inputs):
            module.register_forward_pre_hook(_Rows(files, own["weight"]))
        elif type(module) is nn.Linear:
            module.__dict__["forward"] = _Blocks(module, reader, own["weight"])  # found before the class's own
        else:
            _load_when_called(module, [(module, own)], files)
    for layer in whole:
        parts = [(m, {n: named[id(w)] for n, w in m._parameters.items() if id(w) in named}) for m in layer.modules()]
        _load_when_called(layer, [(m, own) for m, own in parts if own], files)


def _is_plain(layer: BaseTunerLayer) -> bool:
    """Whether it calls its base layer and looks at none of its weights."""
    return not any(getattr(layer, "use_dora", {}).values()) and not isinstance(layer, TrainableTokensLayer)


class _Rows:
    """Gives an embedding the rows that it is asked for, and no others."""

    def __init__(self, files: TensorFolder, name: str) -> None:
        self.files, self.name = files, name

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        ids, places = torch.unique(given[0], return_inverse=True)
        rows = [self.files.rows(self.name, int(i), int(i) + 1) for i in ids]
        module._parameters["weight"] = nn.Parameter(torch.cat(rows).float(), requires_grad=False)
        return (places, *given[1:])


class _Blocks:
    """Stands in for the `forward` of a linear layer; a few rows of the matrix are in memory at a time."""

    def __init__(self, module: nn.Linear, reader: Float32Rows, name: str) -> None:
        self.module, self.reader, self.name = module, reader, name

    def __call__(self, states: Tensor) -> Tensor:
        outputs, inputs = self.reader.place(self.name).shape
        rows = max(1, BLOCK_ELEMENTS // inputs)
        result = states.new_empty(*states.shape[:-1], outputs)
        for start in range(0, outputs, rows):
            _, block = self.reader.read(self.name, start, min(start + rows, outputs))
            result[..., start : start + rows] = linear(states, block)
        return result if self.module.bias is None else result + self.module.bias


def _load_when_called(module: nn.Module, parts: list[tuple[nn.Module, dict[str, str]]], files: TensorFolder) -> None:
    placeholders = [(part, dict(part._parameters)) for part, _ in parts]

    def load(*_: Any) -> None:
        for part, own in parts:
            for name, stored in own.items():
                part._parameters[name] = nn.Parameter(files.rows(stored).float(), requires_grad=False)

    def let_go(*_: Any) -> None:
        for part, weights in placeholders:
            part._parameters.update(weights)

    module.register_forward_pre_hook(load)
    module.register_forward_hook(let_go)
