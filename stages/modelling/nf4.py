"""Frozen linear layers whose weights are kept in four bits: NF4 with double quantization, in plain torch on any device.

Source: Dettmers et al., "QLoRA", 2023, section 3; the codes are those of bitsandbytes 0.50, so its adapters fit.
bitsandbytes itself is not used: on a CPU its first forward pass without gradients repacks the weights in place, and
training or merging after it goes on with wrong ones.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from transformers.pytorch_utils import Conv1D

BLOCK = 64  # weights that share a scale; QLoRA, section 3
SCALE_BLOCK = 256  # scales that share a scale of their own; QLoRA, section 3
# Quantiles of a normal distribution, scaled to -1..1, with an exact zero. Source: QLoRA, appendix E.
NF4_VALUES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class Quantised(NamedTuple):
    """A matrix in four bits."""

    codes: Tensor  # uint8, two weights each, the first in the upper half
    scale_codes: Tensor  # uint8, one per BLOCK weights
    scale_scales: Tensor  # float32, one per SCALE_BLOCK scales
    scale_mean: Tensor  # float32, one number


def quantise(weight: Tensor) -> Quantised:
    """The nearest codes; the last blocks may be short."""
    flat = weight.detach().float().flatten()
    blocks = pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(dim=1)
    codes = _nearest(blocks / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None], _nf4(weight.device)).flatten()
    mean = scales.mean()
    centred = pad(scales - mean, (0, -scales.numel() % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
    scale_scales = centred.abs().amax(dim=1)
    shares = centred / scale_scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    scale_codes = _nearest(shares, _scale_values(weight.device)).flatten()[: scales.numel()]
    return Quantised(codes[0::2] * 16 + codes[1::2], scale_codes, scale_scales, mean)


def dequantise(quantised: Quantised, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The matrix that the codes stand for; computed in float32 and rounded once."""
    device = quantised.codes.device
    shares = _scale_values(device)[quantised.scale_codes.int()]
    scales = pad(shares, (0, -shares.numel() % SCALE_BLOCK)).view(-1, SCALE_BLOCK) * quantised.scale_scales[:, None]
    scales = scales.flatten()[: shares.numel()] + quantised.scale_mean
    values = _pairs(device)[quantised.codes.int()].view(-1, BLOCK) * scales[:, None]
    count = 1
    for size in shape:
        count *= size
    return values.flatten()[:count].view(shape).to(dtype)


class NF4Linear(nn.Linear):
    """A linear layer that makes its weights from the codes whenever it needs them; they cannot be trained."""

    def __init__(self, source: nn.Linear | Conv1D) -> None:
        nn.Module.__init__(self)
        weight = source.weight.T if isinstance(source, Conv1D) else source.weight
        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype
        for name, tensor in quantise(weight)._asdict().items():
            self.register_buffer(name, tensor)
        self.bias = source.bias

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """Out x in, in the precision that the layer had before; made anew each time."""
        codes = Quantised(self.codes, self.scale_codes, self.scale_scales, self.scale_mean)  # type: ignore[arg-type]
        return dequantise(codes, (self.out_features, self.in_features), self.dtype)

    def forward(self, states: Tensor) -> Tensor:
        """As a linear layer."""
        return _Product.apply(states, self) if self.bias is None else _Product.apply(states, self) + self.bias  # type: ignore[no-any-return,no-untyped-call]


class _Product(torch.autograd.Function):
    """Keeps the layer for the gradient instead of its weights, which are made again."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, states: Tensor, layer: NF4Linear) -> Tensor:
        ctx.layer = layer  # type: ignore[attr-defined]
        weight = layer.weight
        return linear(states.to(weight.dtype), weight)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ ctx.layer.weight.to(gradient.dtype), None  # type: ignore[attr-defined]


def quantise_layers(model: nn.Module, names: Iterable[str]) -> None:
    """Puts four-bit layers in place of the linear layers of those names, one after the other."""
    for name in names:
        parent, _, own = name.rpartition(".")
        holder = model.get_submodule(parent)
        setattr(holder, own, NF4Linear(getattr(holder, own)))


def _nearest(values: Tensor, sorted_values: Tensor) -> Tensor:
    """Index of the nearest of `sorted_values`, as uint8."""
    return torch.bucketize(values, (sorted_values[1:] + sorted_values[:-1]) / 2).to(torch.uint8)


def _nf4(device: torch.device) -> Tensor:
    return torch.tensor(NF4_VALUES, device=device)


def _pairs(device: torch.device) -> Tensor:
    """Both values of each byte: 256 x 2."""
    values = _nf4(device)
    return torch.stack([values.repeat_interleave(16), values.repeat(16)], dim=1)


def _scale_values(device: torch.device) -> Tensor:
    return torch.tensor(_dense_around_zero(), device=device)


@cache
def _dense_around_zero() -> tuple[float, ...]:
    """256 values from -1 to 1. Source: Dettmers, "8-Bit Approximations for Parallelism", 2015."""
    values = [0.0, 1.0]
    for exponent in range(7):
        bounds = torch.linspace(0.1, 1, 2**exponent + 1, device="cpu")  # also where a model is built without numbers
        means = 10.0 ** (exponent - 6) * (bounds[:-1] + bounds[1:]) / 2
        values += [*means.tolist(), *(-means).tolist()]
    return tuple(sorted(values))
