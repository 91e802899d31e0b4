"""Given a matrix -> what four bits make of it, beside the same written number by number."""

from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from stages.merge.quantised import FourBitFile
from stages.modelling.nf4 import NF4_VALUES, NF4Linear, dequantise, quantise

# 100 x 200 is no multiple of the 64 x 256 weights whose scales share a scale, and its second such group is short.
SHAPE = (100, 200)


def matrix(dtype: torch.dtype = torch.float32) -> Tensor:
    """Of normal numbers; one block is zeros, one has its largest number below zero, and the last third is far smaller."""
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)) * 0.02
    weight.flatten()[64:128] = 0
    weight.flatten()[130] = -0.5
    weight.flatten()[14_000:] *= 0.1
    return weight.to(dtype)


def by_hand(weight: Tensor) -> Tensor:
    """QLoRA, section 3: nearest code times the block's scale; scales less their mean in eight bits, 256 to a scale."""
    numbers = weight.double().flatten().tolist()
    blocks = [numbers[start : start + 64] for start in range(0, len(numbers), 64)]
    largest = [max(map(abs, block)) for block in blocks]
    mean = sum(largest) / len(largest)
    grid = sorted({0.0, 1.0, *(sign * value for value in _positive() for sign in (1, -1))})
    found: list[float] = []
    for number, block in enumerate(blocks):
        group = largest[number // 256 * 256 :][:256]
        widest = max(abs(scale - mean) for scale in group)
        scale = _nearest((largest[number] - mean) / widest, grid) * widest + mean
        found += [_nearest(weight / (largest[number] or 1), NF4_VALUES) * scale for weight in block]
    return torch.tensor(found, dtype=torch.float64).view(weight.shape)


def _positive() -> list[float]:
    """Of each power of ten from 1e-6 to 1, so many means of evenly spaced bounds; Dettmers, 2015."""
    made = []
    for power in range(7):
        bounds = [0.1 + 0.9 * step / 2**power for step in range(2**power + 1)]
        made += [10.0 ** (power - 6) * (low + high) / 2 for low, high in pairwise(bounds)]
    return made


def _nearest(value: float, grid: list[float] | tuple[float, ...]) -> float:
    return min(grid, key=lambda one: abs(one - value))


def test_four_bits_are_those_of_the_paper() -> None:
    found = dequantise(quantise(matrix()), SHAPE, torch.float32)
    torch.testing.assert_close(found.double(), by_hand(matrix()), rtol=1e-5, atol=1e-7)
    assert (found - matrix()).norm() / matrix().norm() < 0.15


def test_codes_are_quantiles_of_a_normal_distribution() -> None:
    """QLoRA's released code: from 96.8 % to the middle in eight steps above zero and in seven below, and zero itself."""
    quantile, outermost = NormalDist().inv_cdf, 0.9677083
    above = [quantile(outermost + (0.5 - outermost) * step / 8) for step in range(8)]
    below = [-quantile(outermost + (0.5 - outermost) * step / 7) for step in range(7)]
    expected = sorted([*below, 0.0, *above])
    assert pytest.approx([value / expected[-1] for value in expected], abs=1e-6) == NF4_VALUES


def test_a_value_on_the_grid_of_codes_is_kept() -> None:
    weight = torch.tensor(NF4_VALUES).repeat(8, 4) * 0.3
    torch.testing.assert_close(dequantise(quantise(weight), (8, 64), torch.float32), weight)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_a_layer_in_four_bits_is_a_linear_layer_with_these_weights(dtype: torch.dtype, tolerance: float) -> None:
    plain = nn.Linear(200, 100).to(dtype)
    plain.weight.data = matrix(dtype)
    turned = Conv1D(100, 200).to(dtype)  # the same matrix, stored in x out
    turned.weight.data, turned.bias.data = matrix(dtype).T.contiguous(), plain.bias.data
    expected = nn.Linear(200, 100).to(dtype)
    expected.weight.data = dequantise(quantise(matrix(dtype)), SHAPE, dtype)
    expected.bias.data = plain.bias.data
    states = [torch.ones(3, 200, dtype=dtype, requires_grad=True) for _ in range(3)]
    made = [layer(state) for layer, state in zip([expected, NF4Linear(plain), NF4Linear(turned)], states, strict=True)]
    gradients = [torch.autograd.grad(found.square().sum(), state)[0] for found, state in zip(made, states, strict=True)]
    for found, gradient in zip(made, gradients, strict=True):
        assert found.dtype == dtype
        assert (found - made[0]).norm() <= tolerance * made[0].norm()
        assert (gradient - gradients[0]).norm() <= tolerance * gradients[0].norm()


@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_file_read_in_four_bits_gives_the_rows_that_training_saw(tmp_path: Path, is_transposed: bool) -> None:
    stored = {"a": matrix(), "b": matrix() * 2, "c": matrix()}
    if is_transposed:
        stored = {name: weight.T.contiguous() for name, weight in stored.items()}
    save_file(stored, tmp_path / "weights.safetensors")
    file = FourBitFile(tmp_path / "weights.safetensors", ["a", "b"], ["a", "b", "c"] if is_transposed else [])
    for name, weight in (("a", matrix()), ("b", matrix() * 2)):
        seen = dequantise(quantise(weight), SHAPE, torch.float32)
        assert torch.equal(file.rows(name, 30, 40), (seen.T if is_transposed else seen)[30:40])
    assert torch.equal(file.rows("c"), stored["c"])
