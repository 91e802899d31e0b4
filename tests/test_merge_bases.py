"""Given the losses of an adapter in either base -> which base is chosen, and how sure that is."""

import statistics

import pytest
import torch
from torch.nn.functional import cross_entropy

from stages.merge.certificate import HeldOut
from stages.merge.quantised import Candidate, choose, losses

TOKENS = [10, 20, 10, 20, 10, 20]


def candidates(stored: list[float], four_bit: list[float]) -> dict[str, Candidate]:
    return {"stored": Candidate(0.1, stored), "four_bit": Candidate(0.0, four_bit)}


@pytest.mark.parametrize(
    ("more", "chosen", "why"),
    [
        # What the stored base loses more, example by example; both lose 30 nats in each.
        ([-1.0, -2.1, -0.9, -2.0, -1.1, -1.9], "stored", "lower loss"),
        ([1.0, 2.1, 0.9, 2.0, 1.1, 1.9], "four_bit", "lower loss"),
        ([-1.0, 2.0, 1.0, -2.2, -1.0, 1.0], "four_bit", "no more than by chance"),
        ([-9.0, 0.1, 0.1, 0.1, 0.1, 0.1], "four_bit", "no more than by chance"),
    ],
)
def test_the_base_with_the_lower_loss_is_chosen_only_where_examples_agree(
    more: list[float], chosen: str, why: str
) -> None:
    found = choose(candidates([30.0 + m for m in more], [30.0] * 6), TOKENS)
    assert found.merged_into == chosen
    assert why in found.chosen_because
    assert found.loss_difference == pytest.approx(sum(more) / sum(TOKENS))


def test_of_examples_of_one_length_the_interval_is_that_of_a_mean() -> None:
    more = [-1.0, -2.1, -0.9, -2.0, -1.1, -1.9]
    found = choose(candidates([30.0 + m for m in more], [30.0] * 6), [10] * 6)
    assert found.loss_difference_interval == pytest.approx(1.96 * statistics.stdev(more) / 6**0.5 / 10)


def test_a_few_examples_decide_nothing_and_none_neither() -> None:
    assert choose(candidates([1.0, 1.0], [30.0, 30.0]), [10, 10]).merged_into == "four_bit"
    assert choose(candidates([], []), []).merged_into == "four_bit"


@pytest.mark.parametrize("columns", [1, 3, 4, 100])
def test_losses_are_those_of_the_supervised_tokens_however_the_logits_come(columns: int) -> None:
    torch.manual_seed(0)
    prompts = [torch.randint(7, (length,)) for length in (6, 3, 5)]
    counts = [torch.randint(2, (len(prompt),)).float() for prompt in prompts]
    logits = [torch.randn(len(prompt), 7) for prompt in prompts]
    pieces = [
        row[start : start + columns] for start in range(0, 6, columns) for row in logits if len(row) > start
    ]  # as certificate._logits gives them
    expected = [
        float((cross_entropy(row[:-1], ids[1:], reduction="none") * mask[1:]).sum())
        for row, ids, mask in zip(logits, prompts, counts, strict=True)
    ]
    assert losses(pieces, HeldOut(prompts, counts)) == pytest.approx(expected, rel=1e-5)
