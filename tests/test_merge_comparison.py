"""Given examples -> the prompts to compare on; given the logits of two models -> how far they lie apart on them."""

import math
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from stages.errors import DataError
from stages.merge.certificate import ROWS_AT_ONCE, compare, held_out
from tiny_training import example


def logits_of(*lengths: int, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(length, 7, generator=random) for length in lengths]


def test_a_long_prompt_counts_as_often_as_it_has_positions() -> None:
    lengths = (1, ROWS_AT_ONCE + 3, 5)
    expected, found = logits_of(*lengths), logits_of(*lengths, seed=1)
    one, other = torch.cat(expected), torch.cat(found)
    made = compare(expected, found)
    kl = kl_div(log_softmax(other, -1), log_softmax(one, -1), log_target=True, reduction="batchmean")
    assert made.mean_kl == pytest.approx(float(kl), rel=1e-5)
    assert made.top1_agreement == pytest.approx(float((one.argmax(-1) == other.argmax(-1)).float().mean()))
    assert made.max_logit_difference == float((one - other).abs().max())
    assert made.largest_logit == float(one.abs().max())
    assert made.positions == len(one)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, ROWS_AT_ONCE + 1])
def test_a_logit_that_is_no_number_is_as_far_as_can_be(value: float, place: int) -> None:
    expected = logits_of(3, ROWS_AT_ONCE + 3)
    found = [logits.clone() for logits in expected]
    found[1][place, 2] = value
    assert compare(expected, found).max_logit_difference == math.inf
    assert compare(expected, expected).max_logit_difference == 0.0


def test_models_with_other_tokens_are_not_compared() -> None:
    with pytest.raises(DataError, match="say one of 5 tokens and the merged model one of 6"):
        compare([torch.zeros(2, 5)], [torch.zeros(2, 6)])


def test_what_was_not_trained_on_comes_first_and_long_prompts_are_cut(tmp_path: Path) -> None:
    splits = {"a": "train", "b": "test", "c": "validation", "d": "validation"}
    rows = [example(name, [n, 7, 8, 9], [1, 0, 1, 1], turn=0, split=s) for n, (name, s) in enumerate(splits.items())]
    pl.DataFrame(rows[::-1]).write_parquet(tmp_path / "part.parquet")
    found = held_out(tmp_path, 10, 4, 3)
    assert [prompt.tolist() for prompt in found.prompts] == [[2, 7, 8], [3, 7, 8], [1, 7, 8], [0, 7, 8]]
    assert found.counted == [1] * 4
    assert len(held_out(tmp_path, 10, 2, 4).prompts) == 2
    with pytest.raises(DataError, match="token ids beyond the 9 tokens of the model"):
        held_out(tmp_path, 9, 4, 4)
