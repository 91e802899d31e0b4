"""Bottleneck adapters: small layers beside a frozen model. PEFT 0.21 has none, and `adapters` 1.3 needs transformers 4.

Source: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", 2019; Pfeiffer et al., "AdapterFusion", 2021.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stages.errors import ConfigError

Places = Literal["layer", "blocks"]
NAME = "bottleneck"
INITIAL_SPREAD = 1e-2  # Houlsby et al., section 2.1: normal, cut off at two standard deviations


class Bottleneck(nn.Module):
    """x + up(relu(down(x))). `up` starts at zero, so a new adapter changes nothing."""

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, size), nn.Linear(size, hidden)
        nn.init.trunc_normal_(self.down.weight, std=INITIAL_SPREAD, a=-2 * INITIAL_SPREAD, b=2 * INITIAL_SPREAD)
        for weight in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(weight)

    def forward(self, states: Tensor) -> Tensor:
        """The same shape and precision."""
        inner = relu(self.down(states.to(self.down.weight.dtype)))
        outer: Tensor = self.up(inner)
        return states + outer.to(states.dtype)


def add_bottlenecks(model: PreTrainedModel, size: int, places: Places) -> list[torch.utils.hooks.RemovableHandle]:
    """Adds one adapter after each layer (Pfeiffer), or after each attention and feed-forward block before its residual
    connection (Houlsby); gives what takes their effect away again."""
    hidden = int(model.config.get_text_config().hidden_size)
    handles = []
    for layer in _layers(model):
        targets = [layer] if places == "layer" else _blocks(layer, hidden)
        if not targets:
            raise ConfigError(
                f"the layers of {type(model).__name__} have no blocks that end in a linear layer of width {hidden}; "
                f"set bottleneck_places=layer"
            )
        for target in targets:
            target.add_module(NAME, Bottleneck(hidden, size).to(model.device))
            handles.append(target.register_forward_hook(_apply))
    return handles


def remove_bottlenecks(model: PreTrainedModel, handles: list[torch.utils.hooks.RemovableHandle]) -> None:
    """The model is again what it was."""
    for handle in handles:
        handle.remove()
    for module in list(model.modules()):
        if NAME in module._modules:
            del module._modules[NAME]


def bottleneck_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> weight of all bottlenecks."""
    return {name: weight for name, weight in model.named_parameters() if f".{NAME}." in name}


def _apply(block: nn.Module, _: Any, output: Any) -> Any:
    adapter: nn.Module = block.get_submodule(NAME)
    # Some blocks give a tuple, whose first is the hidden states.
    return (adapter(output[0]), *output[1:]) if isinstance(output, tuple) else adapter(output)


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    count = int(model.config.get_text_config().num_hidden_layers)
    for module in model.get_decoder().modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ConfigError(f"{type(model).__name__} has no list of {count} layers to put adapters in; use method=lora")


def _blocks(layer: nn.Module, hidden: int) -> list[nn.Module]:
    """The attention and the feed-forward part: what ends in a linear layer as wide as the model."""
    blocks = []
    for child in layer.children():
        linear = [module for module in child.modules() if isinstance(module, (nn.Linear, Conv1D))]
        if linear and not isinstance(child, (nn.Linear, Conv1D)) and _width(linear[-1]) == hidden:
            blocks.append(child)
    return blocks


def _width(linear: nn.Module) -> int:
    width = linear.nf if isinstance(linear, Conv1D) else linear.out_features
    return int(width) if isinstance(width, int) else 0
