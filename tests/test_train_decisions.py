"""Decisions of a training that follow from a few numbers, each where it turns over."""

import pytest

from stages.errors import DataError
from stages.train.examples import closing_ids, refuse_unfit
from stages.train.optimizer import learning_rate
from stages.train.position import Position
from stages.train.stage import TrainParams
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


def test_what_ends_most_examples_comes_first() -> None:
    ends = [7, 4, 4, 5, 7, 4]
    examples = arrays([example(f"r{number}", [1, 2, end, 3], [0, 1, 1, 0]) for number, end in enumerate(ends)])
    assert closing_ids(examples) == [4, 7, 5]
