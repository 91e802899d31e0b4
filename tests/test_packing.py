import time
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.train.batches import lay_out, packed, padded
from stages.train.packing import StepOrder, best_fit_decreasing, epoch_steps
from stages.train.stage import TrainParams
from tiny_training import arrays, example

unhurried = settings(deadline=None)
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=60)


def packs_of(lengths: list[int], capacity: int) -> list[list[int]]:
    return [pack.tolist() for pack in best_fit_decreasing(np.array(lengths), capacity)]


@pytest.mark.parametrize(
    ("lengths", "capacity", "expected"),
    [
        ([5], 10, [[0]]),
        ([5, 5], 10, [[0, 1]]),
        ([6, 5], 10, [[0], [1]]),
        ([2, 7, 6, 3], 10, [[1, 3], [2, 0]]),  # the 3 fits both packs and goes where less room remains
        ([4, 99, 4], 10, [[1], [0, 2]]),  # longer than a pack: alone, and never cut
        ([10, 10], 10, [[0], [1]]),
    ],
)
def test_puts_each_example_where_the_least_room_remains(
    lengths: list[int], capacity: int, expected: list[list[int]]
) -> None:
    assert packs_of(lengths, capacity) == expected


@unhurried
@given(LENGTHS)
def test_every_example_is_in_one_pack_and_no_pack_overflows(lengths: list[int]) -> None:
    packs = packs_of(lengths, 20)
    assert sorted(chain.from_iterable(packs)) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in pack) <= 20 or len(pack) == 1 for pack in packs)


@unhurried
@given(LENGTHS)
def test_packs_are_as_few_as_best_fit_promises(lengths: list[int]) -> None:
    fitting = [min(length, 20) for length in lengths]
    fewest_possible = -(-sum(fitting) // 20)
    # Eleven ninths of the fewest is for the true optimum; of this lower bound, any fit at all is at most twice.
    assert len(packs_of(fitting, 20)) <= 2 * fewest_possible


@unhurried
@given(LENGTHS)
def test_packs_follow_from_the_lengths_alone(lengths: list[int]) -> None:
    # Equal lengths are taken in their order, so a permutation decides which example is where, and not how full packs are.
    sizes = sorted(sum(lengths[i] for i in pack) for pack in packs_of(lengths, 20))
    backwards = lengths[::-1]
    assert sorted(sum(backwards[i] for i in pack) for pack in packs_of(backwards, 20)) == sizes
    assert packs_of(lengths, 20) == packs_of(lengths, 20)


@pytest.mark.parametrize("capacity", [1024, 2048, 4096])
def test_fifty_thousand_examples_fill_packs_in_a_moment(capacity: int) -> None:
    # Lengths like those of instruction records: median 70, one in a hundred above 300.
    lengths = np.random.default_rng(0).lognormal(4.25, 0.65, 52_000).astype(int).clip(10, 1024)
    started = time.process_time()
    packs = best_fit_decreasing(lengths, capacity)
    assert time.process_time() - started < 0.3  # measured: 0.05
    fewest_possible = -(-int(lengths.sum()) // capacity)
    assert len(packs) <= fewest_possible * 1.001 + 1


@unhurried
@given(LENGTHS, st.integers(0, 5))
def test_an_epoch_has_each_example_as_often_as_it_repeats(lengths: list[int], epoch: int) -> None:
    repeats = np.arange(len(lengths)) % 3 + 1
    steps = epoch_steps(np.array(lengths), repeats, TrainParams(pack_tokens=20, packs_per_step=3), epoch)
    seen = Counter(int(i) for packs in steps for pack in packs for i in pack)
    assert seen == {i: int(times) for i, times in enumerate(repeats)}


@unhurried
@given(LENGTHS)
def test_the_packs_of_an_epoch_are_spread_evenly_over_its_steps(lengths: list[int]) -> None:
    steps = epoch_steps(
        np.array(lengths), np.ones(len(lengths), dtype=int), TrainParams(pack_tokens=20, packs_per_step=4), 0
    )
    sizes = [len(packs) for packs in steps]
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1


def test_each_epoch_has_another_order_and_the_same_seed_the_same() -> None:
    lengths, ones = np.full(64, 10), np.ones(64, dtype=int)

    def order(seed: int, epoch: int) -> list[int]:
        steps = epoch_steps(lengths, ones, TrainParams(pack_tokens=20, seed=seed), epoch)
        return [int(i) for packs in steps for pack in packs for i in pack]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_the_packs_of_a_step_do_not_depend_on_the_steps_asked_for_before() -> None:
    lengths, ones, params = np.arange(1, 40), np.ones(39, dtype=int), TrainParams(pack_tokens=50, packs_per_step=2)
    in_turn, late = StepOrder(lengths, ones, params), StepOrder(lengths, ones, params)
    last = 3 * in_turn.steps_per_epoch - 1
    walked = [in_turn.packs_of(step) for step in range(last + 1)][-1]
    of_third_epoch = epoch_steps(lengths, ones, params, 2)[-1]
    for packs in (walked, late.packs_of(last)):
        assert [pack.tolist() for pack in packs] == [pack.tolist() for pack in of_third_epoch]


ROWS = [
    example("a", [11, 12, 13], [0, 0, 1]),
    example("b", [21, 22], [0, 1]),
    example("c", [31, 32, 33, 34], [1, 0, 1, 1]),
]


def test_a_packed_row_starts_positions_again_and_has_no_mask() -> None:
    batch = packed(arrays(ROWS), np.array([2, 0, 1]))
    assert batch.input_ids.tolist() == [[31, 32, 33, 34, 11, 12, 13, 21, 22]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1]]
    assert batch.attention_mask is None
    assert batch.tokens == 9


def test_each_target_is_predicted_by_the_token_before_it_in_its_own_example() -> None:
    batch = packed(arrays(ROWS), np.array([2, 0, 1]))
    # The first token of c is marked, and nothing stands before it: no label crosses from one example to the next.
    assert list(zip(batch.predictors.tolist(), batch.labels.tolist(), strict=True)) == [
        (1, 33),
        (2, 34),
        (5, 13),
        (7, 22),
    ]


def test_padded_rows_have_a_mask_and_the_same_targets() -> None:
    batch = padded(arrays(ROWS), np.array([2, 0, 1]))
    assert batch.input_ids.tolist() == [[31, 32, 33, 34], [11, 12, 13, 0], [21, 22, 0, 0]]
    assert batch.attention_mask is not None
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert list(zip(batch.predictors.tolist(), batch.labels.tolist(), strict=True)) == [
        (1, 33),
        (2, 34),
        (5, 13),
        (8, 22),
    ]
    assert batch.tokens == 9
    assert batch.position_ids.tolist() == [[0, 1, 2, 3]] * 3
    assert batch.position_ids.is_contiguous()  # XGLM looks at it flat


@unhurried
@given(LENGTHS)
def test_both_layouts_hold_the_same_examples_within_the_same_room(lengths: list[int]) -> None:
    examples = arrays([example(f"r{i}", range(100, 101 + length)) for i, length in enumerate(lengths)])
    packs = best_fit_decreasing(examples.lengths, 40)
    for packing in (True, False):
        batches = list(lay_out(examples, packs, packing=packing, pack_tokens=40))
        assert sorted(int(i) for batch in batches for i in batch.members) == list(range(len(lengths)))
        assert all(batch.input_ids.numel() <= 40 for batch in batches)
        assert sum(batch.supervised for batch in batches) == int(examples.is_target.sum())
