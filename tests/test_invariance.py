"""Training that is broken on purpose -> the check before the first step refuses to train."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from exact_gradients import make_gradients
from stages.errors import ConfigError
from stages.modelling.models import load_model, repeatable
from stages.train import batches as batches_module
from stages.train.batches import Batch
from stages.train.examples import Examples
from stages.train.gradients import Gradients
from stages.train.invariance import PROBE_TOKENS, check_invariance, probes
from stages.train.stage import TrainParams
from tiny_model import make_config, save_model
from tiny_training import arrays, example, random_examples

EXAMPLES = arrays([row | {"weight": 1.0 + n % 2} for n, row in enumerate(random_examples(12))])
ALIKE = arrays(random_examples(12))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return load_model(save_model(make_config(400), tmp_path_factory.mktemp("model")), torch.float32)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with repeatable(cpu_threads=1):
        yield


def check(model: PreTrainedModel, examples: Examples = EXAMPLES, *, packing: bool = True) -> dict[str, float]:
    params = TrainParams(packing=packing)
    return check_invariance(make_gradients(model, examples), examples, params, torch.float32)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize(
    "examples", [EXAMPLES, ALIKE, arrays([example("only", range(5, 25))])], ids=["weighted", "alike", "one"]
)
def test_right_training_passes_and_leaves_nothing_behind(
    model: PreTrainedModel, packing: bool, examples: Examples
) -> None:
    before = torch.get_rng_state()
    found = check(model, examples, packing=packing)
    assert found.keys() == {"head", "packing", "accumulation"}
    assert max(found.values()) < 1e-5
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def targets_one_late(batch: Batch) -> Batch:
    return batch._replace(predictors=batch.predictors + 1)


def end_is_masked(batch: Batch) -> Batch:
    kept = torch.ones(len(batch.labels), dtype=torch.bool)
    kept[-1] = False
    weights = None if batch.weights is None else batch.weights[kept]
    return batch._replace(predictors=batch.predictors[kept], labels=batch.labels[kept], weights=weights)


def label_across_documents(batch: Batch) -> Batch:
    """The first token of each document but the first is predicted from the document before it."""
    starts = torch.nonzero(batch.position_ids[0] == 0).flatten()[1:]
    weights = None if batch.weights is None else torch.cat([batch.weights, batch.weights.new_ones(len(starts))])
    labels = torch.cat([batch.labels, batch.input_ids[0, starts]])
    return batch._replace(predictors=torch.cat([batch.predictors, starts - 1]), labels=labels, weights=weights)


def documents_see_each_other(batch: Batch) -> Batch:
    return batch._replace(position_ids=torch.arange(batch.input_ids.shape[1])[None])


def mask_of_ones(batch: Batch) -> Batch:
    return batch._replace(attention_mask=torch.ones_like(batch.input_ids))


def weights_are_ignored(batch: Batch) -> Batch:
    return batch._replace(weights=None)


@pytest.mark.parametrize("fault", [targets_one_late, end_is_masked, weights_are_ignored])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_wrong_mask_is_refused(
    model: PreTrainedModel, layout: str, fault: Callable[[Batch], Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("packed", "padded"):
        break_layout(monkeypatch, name, fault)
    with pytest.raises(ConfigError, match="head by"):
        check(model, packing=layout == "packed")


@pytest.mark.parametrize("fault", [label_across_documents, documents_see_each_other, mask_of_ones])
def test_documents_that_touch_are_refused(
    model: PreTrainedModel, fault: Callable[[Batch], Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_layout(monkeypatch, "packed", fault)
    with pytest.raises(ConfigError, match="packing by"):
        check(model)


def break_layout(monkeypatch: pytest.MonkeyPatch, name: str, fault: Callable[[Batch], Batch]) -> None:
    right = getattr(batches_module, name)
    monkeypatch.setattr(batches_module, name, lambda *given: fault(right(*given)))
    if name == "padded":
        monkeypatch.setattr("stages.train.invariance.padded", lambda *given: fault(right(*given)))


def test_a_mean_of_means_is_refused(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Gradients.add_up

    def mean_of_means(self: Gradients, batches: list[Batch], seed: int) -> Any:
        return torch.stack([right(self, [batch], seed).sum() for batch in batches]) / len(batches)

    monkeypatch.setattr(Gradients, "add_up", mean_of_means)
    with pytest.raises(ConfigError, match="accumulation by"):
        check(model)


def test_padding_in_the_denominator_is_refused(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batch, "weight", property(lambda self: float(self.input_ids.numel())))
    with pytest.raises(ConfigError, match="packing by"):
        check(model, packing=False)


def test_the_probe_holds_short_and_long_examples_around_what_they_teach() -> None:
    long = [example(f"long{n}", range(3, 203), [0] * 150 + [1] * 50) for n in range(3)]
    probe = probes(arrays([*long, example("short", [5, 6, 7])]))
    assert sorted(probe.lengths.tolist()) == [3, PROBE_TOKENS, PROBE_TOKENS, PROBE_TOKENS]
    targets = np.add.reduceat(probe.is_target, probe.starts[:-1], dtype=np.int64)
    assert sorted(targets.tolist()) == [2, 48, 48, 48]
