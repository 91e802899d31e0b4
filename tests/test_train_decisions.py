"""Decisions of a training that follow from a few numbers, each where it turns over."""

import math
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from exact_gradients import CPU
from stages.errors import DataError
from stages.train.batches import packed
from stages.train.examples import closing_ids, read_examples, refuse_unfit
from stages.train.loop import Run
from stages.train.optimizer import learning_rate
from stages.train.position import Position
from stages.train.stage import TrainParams
from stages.train.team import Team
from tiny_training import arrays, example


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], False),
        ([2.0], False),
        ([2.0, 8.0], False),
        ([2.0, 8.1], True),
        ([2.0, 0.5, 2.1], True),  # four times the lowest, and hardly more than the first
        ([2.0, 9.0, 2.0], False),
    ],
)
def test_a_loss_has_diverged_at_four_times_the_lowest(losses: list[float], expected: bool) -> None:
    assert Position(rows=[{"loss": loss} for loss in losses]).has_diverged() is expected


def test_of_equal_validation_losses_the_first_is_the_best() -> None:
    position = Position()
    found = []
    for position.step, loss in enumerate([3.0, 2.0, 2.0, 2.5], start=1):
        found.append(position.validated(loss))
    assert found == [True, True, False, False]
    assert (position.best_step, position.best_loss, position.validations_without_better) == (2, 2.0, 2)


def test_a_share_of_a_step_warms_up_for_a_whole_one() -> None:
    params = TrainParams(learning_rate=1.0, warmup_share=0.1, schedule="constant")
    assert [learning_rate(step, 11, params) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]


def test_the_last_token_and_the_last_position_of_a_model_may_be_used() -> None:
    examples = arrays([example("fits", [0, 1, 9]), example("also", [9, 9])])
    refuse_unfit(examples, tokens=10, max_positions=3)
    with pytest.raises(DataError, match=r"token id 9 and others are beyond the 9 tokens of the model, in fits, also"):
        refuse_unfit(examples, tokens=9, max_positions=3)
    with pytest.raises(DataError, match=r"has 3 tokens and the model 2 positions, too few for fits \(1 rows\)"):
        refuse_unfit(examples, tokens=10, max_positions=2)
    with pytest.raises(DataError, match=r"token id -1 and others .* in odd \(1 rows\)"):
        refuse_unfit(arrays([example("odd", [0, -1, 1])]), tokens=10, max_positions=3)


def test_what_ends_most_examples_comes_first() -> None:
    ends = [7, 4, 4, 5, 7, 4]
    examples = arrays([example(f"r{number}", [1, 2, end, 3], [0, 1, 1, 0]) for number, end in enumerate(ends)])
    assert closing_ids(examples) == [4, 7, 5]


@pytest.mark.parametrize("objective", ["sft", "text"])
@pytest.mark.parametrize("weight", [{}, {"weight": 2.0}], ids=["no weights", "weights"])
def test_examples_come_in_the_order_of_their_rows_and_only_those_that_teach(
    tmp_path: Path, weight: dict[str, float], objective: str
) -> None:
    told: dict[str, Any] = {"turn": 0, "split": "train", "repeats": 1} | weight
    rows = [
        example("b", [5, 6, 7], **told | {"turn": 1}),
        example("c", [5, 6, 7], **told | {"split": "validation"}),
        example("d", [5], [1], **told),  # nothing is before its first token
        example("a", [5, 6], **told),
        example("b", [5, 6, 7, 8], **told),
    ]
    rows += [example("e", [5, 6, 7], **told | {"weight": 0.0})] if weight else []
    pl.DataFrame(rows).write_parquet(tmp_path / "part.parquet")
    found = read_examples(tmp_path, objective, "train")
    assert (found.row_ids, found.lengths.tolist()) == (["a", "b", "b"], [2, 4, 3])
    assert int(found.is_target.sum()) == {"sft": 1 + 2 + 2, "text": 1 + 3 + 2}[objective]
    assert found.weights.tolist() == [weight.get("weight", 1.0)] * 3
    assert found.named([1, 2, 1]) == "b (1 rows)"


@pytest.mark.parametrize(
    ("losses", "grad_norm", "told"),
    [
        ([1.0, 2.0], 3.0, None),
        ([1.0, math.nan], 3.0, "the loss of step 5 of 9 is no number, in a batch with the rows r2, r3 (2 rows)"),
        ([1.0, 2.0], math.inf, "the gradient of step 5 of 9 is no number, in a batch with the rows r0, r1, r2, r3 (4 rows)"),
    ],
)  # fmt: skip
def test_no_number_names_the_step_and_the_rows_of_the_batches_that_have_none(
    losses: list[float], grad_norm: float, told: str | None
) -> None:
    examples = arrays([example(f"r{number}", [5, 6, 7]) for number in range(4)])
    batches = [packed(examples, np.array(pack)) for pack in ([0, 1], [2, 3])]
    run: Any = SimpleNamespace(position=Position(step=4), steps=9, plan=SimpleNamespace(train=examples))
    said = None
    try:
        Run._refuse_nan(run, torch.tensor(losses), torch.tensor(grad_norm), batches)
    except DataError as error:
        said = str(error).partition(";")[0]
    assert said == told


def test_each_step_process_and_seed_draws_other_random_numbers() -> None:
    def seed(seed: int, step: int, rank: int) -> int:
        plan = SimpleNamespace(params=TrainParams(seed=seed))
        run: Any = SimpleNamespace(plan=plan, team=Team(rank, 3, CPU))
        return Run._seed(run, step)

    assert len({seed(*drawn) for drawn in product(range(3), repeat=3)}) == 27


@pytest.mark.parametrize(
    ("params", "losses", "without_better", "is_over"),
    [
        ({}, [1.0, 9.0], 0, False),
        ({"schedule": "range_test"}, [1.0, 3.0], 0, False),
        ({"schedule": "range_test"}, [1.0, 9.0], 0, True),
        ({"early_stopping_patience": 2, "validate_every_steps": 1}, [1.0], 1, False),
        ({"early_stopping_patience": 2, "validate_every_steps": 1}, [1.0], 2, True),
        ({}, [1.0], 99, False),
    ],
)
def test_a_run_is_over_by_patience_or_by_a_range_test_that_diverges(
    params: dict[str, Any], losses: list[float], without_better: int, is_over: bool
) -> None:
    run: Any = Run.__new__(Run)
    run.plan = SimpleNamespace(params=TrainParams(**params))
    run.position = Position(rows=[{"loss": loss} for loss in losses], validations_without_better=without_better)
    assert run._is_over() is is_over
