"""Loss and gradient of a step = those of a plain reference in float64, in every way in which they can be computed."""

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from exact_gradients import ALONE, by_hand, by_step, difference, make_gradients, norm, randomised_adapter
from stages.errors import ConfigError
from stages.modelling.models import load_model, quiet_peft, repeatable
from stages.train import loss as loss_module
from stages.train.batches import Batch, halved, lay_out
from stages.train.examples import Examples
from stages.train.gradients import Forward, Gradients
from stages.train.methods import Trainable, causal_model
from tiny_model import make_config, save_model
from tiny_training import arrays, example, random_examples

TOKENS = 400
TOLERANCE = 5e-6  # of loss and of the whole gradient; measured: up to 9e-7
UNEVEN = [2, 2, 2, 2, 16, 16, 16, 16]
# Of tokens, so chosen that the wrong gradient is 1.78 times too long and has a cosine of 0.51, as issue 943 of Soup has it.
UNEVEN_SEED = 23


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_config(TOKENS), tmp_path_factory.mktemp("model"), seed=2)


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    return load_model(folder, torch.float32)


@pytest.fixture(scope="module")
def adapted(folder: Path) -> Trainable:
    with quiet_peft():
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
        return randomised_adapter(get_peft_model(load_model(folder, torch.float32), config))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with repeatable(cpu_threads=1):
        yield


def laid_out(examples: Examples, packs: Sequence[Sequence[int]], *, packing: bool = True) -> list[Batch]:
    rows = 999 if packing else 50
    return [b for pack in packs for b in lay_out(examples, [np.array(pack)], packing=packing, pack_tokens=rows)]


def uneven(seed: int = UNEVEN_SEED) -> Examples:
    random = np.random.default_rng(seed)
    return arrays(
        [example(f"r{i}", random.integers(3, TOKENS, size=n), [0] + [1] * (n - 1)) for i, n in enumerate(UNEVEN)]
    )


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("packs", [[range(12)], [range(3), range(3, 4), range(4, 12)]], ids=["at once", "accumulated"])
@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_loss_and_gradient_are_those_of_full_logits_in_float64(
    method: str, packing: bool, packs: list[Any], checkpointing: bool, model: Trainable, adapted: Trainable
) -> None:
    trained = copy.deepcopy(adapted if method == "lora" else model).train()
    if checkpointing:
        with quiet_peft():
            causal_model(trained).activation_checkpointing_enable({"use_reentrant": False})
    examples = arrays(random_examples(12))
    found = by_step(trained, laid_out(examples, packs, packing=packing), examples)
    assert difference(found, by_hand(trained, examples)) < TOLERANCE


@pytest.mark.parametrize("logits_at_once", [1, TOKENS * 7])
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_chunks_of_any_size_give_the_same(
    model: Trainable, logits_at_once: int, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row | {"weight": weight + number} for number, row in enumerate(random_examples(6))]
    examples = arrays(rows)
    monkeypatch.setattr(loss_module, "LOGITS_AT_ONCE", logits_at_once)
    assert difference(by_step(model, laid_out(examples, [range(6)]), examples), by_hand(model, examples)) < TOLERANCE


def test_the_logits_of_a_pack_are_made_in_chunks_of_equal_size(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "LOGITS_AT_ONCE", 4 * TOKENS)
    [batch] = laid_out(arrays([example("ten", range(3, 14), [0] + [1] * 10)]), [[0]])
    rows: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda *given: rows.append(len(given[2])))
    with torch.no_grad():
        without = loss_module.loss_sum(model, batch)
    learned = loss_module.loss_sum(copy.deepcopy(model).train(), batch)
    learned.backward()
    hook.remove()
    assert rows == [4, 3, 3] * 2, "and not 4, 4, 2, nor made again for the gradient"
    assert float(learned.detach()) == pytest.approx(float(without), rel=1e-6)
    with pytest.raises(AttributeError):
        learned.backward()


def test_a_gradient_near_zero_is_not_rounded_away_in_half_precision() -> None:
    """1 - p of a token that the model is sure of, where p itself rounds to 1."""
    head = torch.nn.Linear(2, 2, bias=False).bfloat16().requires_grad_(False)
    head.weight.copy_(torch.eye(2))
    hidden = torch.tensor([[8.0, 0.0]], dtype=torch.bfloat16)
    _, (gradient,) = loss_module._loss_and_gradients(head, hidden, (torch.tensor([0]), None), [])
    assert gradient.float()[0].tolist() == pytest.approx([-3.35e-4, 3.35e-4], rel=1e-2)


@pytest.mark.parametrize("packs", [[range(8)], [range(4), range(4, 8)], [[i] for i in range(8)]])
def test_it_does_not_matter_how_examples_fall_into_batches(model: Trainable, packs: list[Any]) -> None:
    examples = uneven()
    batches = laid_out(examples, packs)
    assert len(batches) == len(packs)
    assert difference(by_step(model, batches, examples), by_hand(model, examples)) < TOLERANCE


def test_a_mean_of_means_would_make_this_gradient_1_78_times_too_long(
    model: Trainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = uneven()
    batches = laid_out(examples, [range(4), range(4, 8)])
    right = by_step(model, batches, examples)
    backward = Gradients._backward
    monkeypatch.setattr(Gradients, "_backward", lambda self, batch, _: backward(self, batch, batch.weight * 2))
    wrong = by_step(model, batches, examples)
    assert norm(wrong) / norm(right) == pytest.approx(1.78, abs=0.01)
    assert difference(wrong, by_hand(model, examples)) > 0.5


def test_each_supervised_token_counts_with_the_weight_of_its_row(model: Trainable) -> None:
    rows = [row | {"weight": weight} for row, weight in zip(random_examples(6), [1, 0.25, 3, 1, 0.5, 2], strict=True)]
    examples = arrays(rows)
    for packing in (True, False):
        found = by_step(model, laid_out(examples, [range(2), range(2, 6)], packing=packing), examples)
        assert difference(found, by_hand(model, examples)) < TOLERANCE
    evenly = arrays([row | {"weight": 1.0} for row in rows])
    assert difference(by_hand(model, examples), by_hand(model, evenly)) > 1e-2


def test_one_weight_for_all_changes_nothing(model: Trainable) -> None:
    rows = random_examples(6)
    heavy, light = (arrays([row | {"weight": weight} for row in rows]) for weight in (4.0, 1.0))
    packs = [range(2), range(2, 6)]
    found = by_step(model, laid_out(heavy, packs), heavy)
    assert difference(found, by_step(model, laid_out(light, packs), light)) < TOLERANCE


def test_weights_are_not_rounded_where_the_arithmetic_is_bfloat16(model: PreTrainedModel) -> None:
    heavy, light = (arrays([row | {"weight": weight} for row in random_examples(6)]) for weight in (1.001, 1.0))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found, plain = (
            loss_module.loss_sum(model, laid_out(examples, [range(6)])[0].to(torch.device("cpu")))
            for examples in (heavy, light)
        )
    assert found.dtype == torch.float32
    assert float(found / plain) == pytest.approx(1.001, rel=1e-5)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([2, 40], [1, 1]), ([40, 2], [1, 1]), ([2, 3, 40], None), ([10, 10], [1, 1]), ([10] * 8, [4, 4])],
)
def test_half_a_batch_is_half_of_its_tokens_and_never_empty(
    lengths: list[int], sizes: list[int] | None, packing: bool
) -> None:
    examples = arrays([example(f"r{number}", range(3, 3 + length)) for number, length in enumerate(lengths)])
    (batch,) = lay_out(examples, [np.arange(len(lengths))], packing=packing, pack_tokens=999)
    made = halved(examples, batch)
    halves = [half.members.tolist() for half in made]
    assert all(halves)
    assert [half.is_packed for half in made] == [packing] * 2
    assert sizes in (None, [len(half) for half in halves])
    assert sorted(member for half in halves for member in half) == list(range(len(lengths)))
    assert len(halves) == 2


def test_only_supervised_tokens_count(model: Trainable) -> None:
    ids = list(range(50, 60))
    one, other = (arrays([example("a", ids, mask)]) for mask in ([0] * 9 + [1], [0] * 5 + [1] * 5))
    of_last = by_hand(model, one).loss
    assert by_step(model, laid_out(one, [[0]]), one).loss == pytest.approx(of_last, rel=1e-6)
    assert by_hand(model, other).loss != pytest.approx(of_last, rel=1e-3)


def forget_memory_after(passes: int, monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    """A GPU that cannot hold more than `largest` tokens, and notices in the pass after the first `passes`."""
    right, done = Forward.loss_sum, 0

    def loss_sum(self: Forward, batch: Batch) -> Any:
        nonlocal done
        done += 1
        if done > passes and batch.tokens > largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return right(self, batch)

    monkeypatch.setattr(Forward, "loss_sum", loss_sum)


@pytest.mark.parametrize("packing", [True, False])
def test_out_of_memory_halves_the_batches_and_the_step_is_the_same(
    model: Trainable, packing: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    examples = arrays(random_examples(12))
    packs = [np.arange(1), np.arange(1, 12)]  # one that cannot be halved needs not be
    batches = [batch for pack in packs for batch in lay_out(examples, [pack], packing=packing, pack_tokens=999)]
    right = by_step(model, batches, examples)
    largest = max(batch.tokens for batch in batches) * 2 // 3
    forget_memory_after(1, monkeypatch, largest)
    gradients = make_gradients(copy.deepcopy(model), examples)
    assert difference(by_step(model, batches, examples), right) < TOLERANCE
    assert "computed in 2 parts; the effective batch is the same" in caplog.text
    gradients.add_up(batches, seed=0)
    assert gradients.halvings == 1  # and stays so, for the next step


def test_memory_for_one_example_is_enough(model: Trainable, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = arrays(random_examples(2))
    batches = laid_out(examples, [range(2)])
    right = by_step(model, batches, examples)
    forget_memory_after(0, monkeypatch, int(examples.lengths.max()))
    assert difference(by_step(model, batches, examples), right) < TOLERANCE


def test_a_share_of_the_weights_cannot_start_a_step_again_by_itself(
    model: Trainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = arrays(random_examples(4))
    forget_memory_after(0, monkeypatch, 1)
    gradients = make_gradients(copy.deepcopy(model), examples, dataclasses.replace(ALONE, is_sharded=True))
    with pytest.raises(torch.OutOfMemoryError):
        gradients.add_up(laid_out(examples, [range(4)]), seed=0)
    assert gradients.halvings == 0


def test_dropout_is_that_of_the_step_whatever_was_drawn_before(folder: Path) -> None:
    with quiet_peft():
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", lora_dropout=0.5)
        model = randomised_adapter(get_peft_model(load_model(folder, torch.float32), config)).train()
    examples = arrays(random_examples(4))
    gradients = make_gradients(model, examples)
    losses = [float(gradients.add_up(laid_out(examples, [range(4)]), seed=seed).sum()) for seed in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]


def test_out_of_memory_with_one_example_is_told_in_words(model: Trainable, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = arrays(random_examples(4))
    forget_memory_after(0, monkeypatch, 1)
    with pytest.raises(ConfigError, match=r"does not suffice for one example.*gradient_checkpointing=true"):
        make_gradients(copy.deepcopy(model), examples).add_up(laid_out(examples, [range(4)]), seed=0)
