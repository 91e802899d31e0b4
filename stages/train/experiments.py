"""Less data, or worse data, on purpose: what sweeps vary to learn what the size and the consistency of data are worth."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from stages.train.examples import Examples
from stages.train.stage import TrainParams


def as_experiment(examples: Examples, params: TrainParams) -> Examples:
    """The examples that are learned from: a share of them, and of these a share with the answers of others."""
    chosen = examples
    if params.examples_share < 1:
        chosen = take(examples, _first_by_draw(examples, params.examples_share, f"share {params.seed}"))
    if params.inconsistent_share > 0:
        swapped = _first_by_draw(chosen, params.inconsistent_share, f"swap {params.seed}")
        chosen = with_answers_moved(chosen, swapped)
    return chosen


def _first_by_draw(examples: Examples, share: float, purpose: str) -> npt.NDArray[np.int64]:
    """At least one position, in order. A larger share holds the smaller one; all examples of a row go together."""
    draws = [blake2b(f"{purpose} {name}".encode(), digest_size=8).digest() for name in examples.row_ids]
    order = np.argsort(np.array([int.from_bytes(draw, "big") for draw in draws], dtype=np.uint64), kind="stable")
    return np.sort(order[: max(1, round(share * len(examples)))])


def take(examples: Examples, positions: npt.NDArray[np.int64]) -> Examples:
    """These examples, in this order."""
    lengths = examples.lengths[positions]
    ends = np.cumsum(lengths)
    tokens = np.repeat(examples.starts[positions], lengths) + np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    return replace(
        examples, row_ids=[examples.row_ids[position] for position in positions], starts=np.concatenate([[0], ends]),
        input_ids=examples.input_ids[tokens], is_target=examples.is_target[tokens],
        repeats=examples.repeats[positions], weights=examples.weights[positions],
    )  # fmt: skip


def with_answers_moved(examples: Examples, positions: npt.NDArray[np.int64]) -> Examples:
    """Each of `positions` ends with the last answer of the next of them, the last with that of the first.

    One that would become longer than every example was keeps its own answer, so that it still fits the model.
    """
    limit = int(examples.lengths.max())
    ids, targets = (np.split(values, examples.starts[1:-1]) for values in (examples.input_ids, examples.is_target))
    cuts = {int(place): _start_of_last_answer(targets[place]) for place in positions}
    made_ids, made_targets = list(ids), list(targets)
    for place, other in zip(positions.tolist(), np.roll(positions, -1).tolist(), strict=True):
        if cuts[place] + len(ids[other]) - cuts[other] <= limit:
            made_ids[place] = np.concatenate([ids[place][: cuts[place]], ids[other][cuts[other] :]])
            made_targets[place] = np.concatenate([targets[place][: cuts[place]], targets[other][cuts[other] :]])
    starts = np.concatenate([[0], np.cumsum([len(values) for values in made_ids])])
    return replace(examples, starts=starts, input_ids=np.concatenate(made_ids), is_target=np.concatenate(made_targets))


def _start_of_last_answer(is_target: npt.NDArray[np.bool_]) -> int:
    """Where the last run of supervised tokens begins; each example has one."""
    last = int(np.flatnonzero(is_target)[-1])
    before = np.flatnonzero(~is_target[:last])
    return int(before[-1]) + 1
