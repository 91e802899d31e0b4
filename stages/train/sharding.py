"""FSDP2: each process holds a share of every weight, its gradient and its optimizer state, and layers come together in turn."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from stages.errors import ConfigError
from stages.train.team import Team


def shard(forward: nn.Module, model: nn.Module, team: Team) -> None:
    """Divides the weights inside `forward`, each layer of `model` by itself; ConfigError for a model without known layers.

    Embeddings, the last norm and the output matrix belong to `forward` as a whole: they are together while it runs, so that
    a loss in chunks does not fetch the output matrix for every chunk.
    """
    names = set(getattr(model, "_no_split_modules", None) or ())
    layers = [module for module in model.modules() if type(module).__name__ in names]
    if not layers:
        raise ConfigError(f"this model ({type(model).__name__}) does not say what its layers are; set parallelism=ddp")
    mesh = init_device_mesh(team.device.type, (team.size,))
    for module in (*layers, forward):
        fully_shard(module, mesh=mesh)
    for module in forward.modules():
        if isinstance(module, FSDPModule):
            # The loss was divided by the count of all processes; gloo knows no other reduction anyway.
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)


def whole(tensors: Mapping[str, Tensor], team: Team) -> dict[str, Tensor]:
    """The tensors in one piece, in the main process; every process must ask. Others get none."""
    if not team.is_sharded:
        return dict(tensors)
    made = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if team.is_main:
            made[name] = full.detach().cpu()
    return made


def placed_like(value: Tensor, weight: Tensor) -> Tensor:
    """`value`, one of a whole weight, divided as `weight` is; anything else as it is."""
    if not isinstance(weight, DTensor) or isinstance(value, DTensor) or value.shape != weight.shape:
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)


def in_one_piece(tensor: Tensor) -> Tensor:
    """A number that every process has a part of."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def copy_into(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Sets the weights of those names."""
    for name, value in values.items():
        weights[name].copy_(placed_like(value, weights[name]))
