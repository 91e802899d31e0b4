import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from stages.models import load_model, repeatable
from stages.train import loss as loss_module
from stages.train.batches import Batch, lay_out
from stages.train.examples import Examples
from stages.train.loss import loss_sum
from tiny_model import make_config, save_model
from tiny_training import arrays, example, random_examples

TOKENS = 400
# In two packs as issue 943 of Soup has them: dividing by each pack's own count makes the gradient 1.78 times too long.
UNEVEN = [2, 2, 2, 2, 16, 16, 16, 16]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return load_model(save_model(make_config(TOKENS), tmp_path_factory.mktemp("model")), torch.float32)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with repeatable(cpu_threads=1):
        yield


def by_hand(model: PreTrainedModel, examples: Examples) -> tuple[float, dict[str, Tensor]]:
    """Mean loss of the supervised tokens and its gradient, each example alone, all logits, in float64."""
    exact = copy.deepcopy(model).double()
    total, count = torch.zeros((), dtype=torch.float64), 0
    for start, end in zip(examples.starts[:-1], examples.starts[1:], strict=True):
        ids = torch.from_numpy(examples.input_ids[start:end].astype(np.int64))
        target = torch.from_numpy(examples.is_target[start:end].copy())
        logits = exact(input_ids=ids[None]).logits[0]
        losses = cross_entropy(logits[:-1], ids[1:], reduction="none")
        total, count = total + losses[target[1:]].sum(), count + int(target[1:].sum())
    (total / count).backward()
    return float(total.detach()) / count, {name: weight.grad for name, weight in exact.named_parameters()}


def by_batches(model: PreTrainedModel, batches: list[Batch]) -> tuple[float, dict[str, Tensor]]:
    """The same through the stage's loss, the batches' gradients added up as a training step does."""
    trained = copy.deepcopy(model)
    count, total = sum(batch.supervised for batch in batches), 0.0
    for batch in batches:
        loss = loss_sum(trained, batch)
        (loss / count).backward()
        total += float(loss.detach())
    return total / count, {name: weight.grad for name, weight in trained.named_parameters()}


def assert_same(found: tuple[float, dict[str, Tensor]], expected: tuple[float, dict[str, Tensor]]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name].double(), gradient.double(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("packing", [True, False])
def test_loss_and_gradient_are_those_of_full_logits_in_float64(model: PreTrainedModel, packing: bool) -> None:
    examples = arrays(random_examples(12))
    batches = list(lay_out(examples, [np.arange(12)], packing=packing, pack_tokens=100))
    assert_same(by_batches(model, batches), by_hand(model, examples))


@pytest.mark.parametrize("logits_at_once", [1, TOKENS * 7])
def test_chunks_of_any_size_give_the_same(
    model: PreTrainedModel, logits_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = arrays(random_examples(6))
    monkeypatch.setattr(loss_module, "LOGITS_AT_ONCE", logits_at_once)
    assert_same(
        by_batches(model, list(lay_out(examples, [np.arange(6)], packing=True, pack_tokens=999))),
        by_hand(model, examples),
    )


@pytest.mark.parametrize("packs", [[range(8)], [range(4), range(4, 8)], [[i] for i in range(8)]])
def test_it_does_not_matter_how_examples_fall_into_batches(model: PreTrainedModel, packs: list[Any]) -> None:
    examples = arrays([example(f"r{i}", range(10 * i, 10 * i + n), [0] + [1] * (n - 1)) for i, n in enumerate(UNEVEN)])
    batches = list(lay_out(examples, [np.array(pack) for pack in packs], packing=True, pack_tokens=999))
    assert len(batches) == len(packs)
    assert_same(by_batches(model, batches), by_hand(model, examples))


def test_only_supervised_tokens_count(model: PreTrainedModel) -> None:
    ids = list(range(50, 60))
    one, other = (arrays([example("a", ids, mask)]) for mask in ([0] * 9 + [1], [0] * 5 + [1] * 5))
    of_last = by_hand(model, one)[0]
    batches = list(lay_out(one, [np.array([0])], packing=True, pack_tokens=99))
    assert by_batches(model, batches)[0] == pytest.approx(of_last, rel=1e-6)
    assert by_hand(model, other)[0] != pytest.approx(of_last, rel=1e-3)
