"""Given examples and a share -> which are learned from, and whose answers they end with; and how a range test ends."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.train.examples import Examples
from stages.train.experiments import as_experiment
from stages.train.optimizer import learning_rate
from stages.train.stage import TrainParams
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import arrays, example, random_examples, train


def parts(examples: Examples) -> list[tuple[str, list[int], list[int]]]:
    """Row, prompt and answer of each example."""
    found = []
    for name, start, end in zip(examples.row_ids, examples.starts, examples.starts[1:], strict=False):
        ids, targets = examples.input_ids[start:end].tolist(), examples.is_target[start:end].tolist()
        cut = targets.index(True)
        found.append((name, ids[:cut], ids[cut:]))
    return found


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_a_larger_share_holds_the_smaller_one(one: float, other: float, seed: int) -> None:
    rows = arrays([row | {"weight": n + 0.5, "repeats": n + 1} for n, row in enumerate(random_examples(50))])
    few, many = sorted(
        (as_experiment(rows, TrainParams(examples_share=share, seed=seed)) for share in (one, other)), key=len
    )
    assert set(few.row_ids) <= set(many.row_ids)
    assert len(many) == max(1, round(max(one, other) * 50))
    whole = {name: (prompt, answer) for name, prompt, answer in parts(rows)}
    assert all(whole[name] == (prompt, answer) for name, prompt, answer in parts(few))
    assert few.row_ids == [f"row-{repeats - 1:03d}" for repeats in few.repeats]
    assert few.weights.tolist() == (few.repeats - 0.5).tolist()


def test_a_share_is_of_whole_rows_and_the_seed_draws_them() -> None:
    rows = arrays([example(f"r{n % 20}", [5, 6, 7]) for n in range(40)])
    drawn = [as_experiment(rows, TrainParams(examples_share=0.5, seed=seed)).row_ids for seed in range(3)]
    assert [set(Counter(names).values()) for names in drawn] == [{2}] * 3
    assert len({tuple(names) for names in drawn}) == 3


def test_a_share_of_answers_belongs_to_other_questions_and_no_answer_is_lost() -> None:
    rows = arrays([example(f"r{n}", [1, 10 + n, 100 + n, 200 + n]) for n in range(40)])
    moved = parts(as_experiment(rows, TrainParams(inconsistent_share=0.5)))
    before = parts(rows)
    assert [(name, prompt) for name, prompt, _ in moved] == [(name, prompt) for name, prompt, _ in before]
    assert sum(one[2] != other[2] for one, other in zip(moved, before, strict=True)) == 20
    assert sorted(answer for *_, answer in moved) == sorted(answer for *_, answer in before)


@given(st.integers(0, 20))
def test_no_example_grows_beyond_the_longest(seed: int) -> None:
    rows = arrays(random_examples(20, seed=seed))
    moved = as_experiment(rows, TrainParams(inconsistent_share=1.0))
    assert moved.lengths.max() <= rows.lengths.max()
    assert not moved.is_target[moved.starts[:-1]].any()
    assert int(moved.starts[-1]) == len(moved.input_ids) == len(moved.is_target)


def test_answers_cannot_be_moved_where_there_are_none() -> None:
    with pytest.raises(ValidationError, match="objective=text has none"):
        TrainParams(objective="text", inconsistent_share=0.5)


def test_the_rate_of_a_range_test_rises_by_one_factor_from_step_to_step() -> None:
    params = TrainParams(schedule="range_test")
    rates = np.array([learning_rate(step, 11, params) for step in range(11)])
    np.testing.assert_allclose(rates[[0, -1]], [1e-5, 1.0])
    np.testing.assert_allclose(rates[1:] / rates[:-1], 10**0.5)


def test_a_range_test_ends_once_the_loss_has_diverged(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", make_tokenizer(tmp_path / "tokenizer"))
    rows = random_examples(40, tokens=200)
    made = train(tmp_path, base, rows, schedule="range_test", learning_rate=1e6, max_steps=60, max_grad_norm=None)
    losses = made.log["loss"].to_list()
    assert made.facts["steps"] == len(losses) < 60
    assert losses[-1] > 4 * min(losses) >= max(losses[:-1])
