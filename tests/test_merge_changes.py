"""Given rows of a base's tensor and an adapter's part -> the merged rows, a few at a time as all at once."""

import pytest
import torch
from torch import Tensor

from stages.merge.changes import Change, LowRank, Replaced, Scaled, Shifted, TrainedRows, Upon

OUT, IN, RANK = 7, 5, 2


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


BASE, OTHER = numbers(OUT, IN, seed=0), numbers(OUT + 2, IN, seed=1)
DOWN, UP, LENGTHS = numbers(RANK, IN, seed=2), numbers(OUT, RANK, seed=3), numbers(OUT, seed=4).abs() + 0.5
UPDATED = BASE + 3 * UP @ DOWN
DORA = UPDATED * (LENGTHS / UPDATED.norm(dim=1))[:, None]
BY_ROW, BY_COLUMN, PLACES = numbers(OUT, 1, seed=5), numbers(1, IN, seed=6), torch.tensor([6, 0, 3])


def low_rank(*, is_transposed: bool = False, lengths: Tensor | None = None) -> LowRank:
    return LowRank(
        lambda: DOWN, lambda: UP, (OUT, IN), 3.0, is_transposed, None if lengths is None else lambda: lengths
    )


def replaced() -> Replaced:
    return Replaced(tuple(OTHER.shape), lambda start, stop: OTHER[start:stop].clone())


CASES: dict[str, tuple[Change, Tensor, Tensor]] = {
    "low rank": (low_rank(), BASE, UPDATED),
    "low rank, stored in x out": (low_rank(is_transposed=True), BASE.T, UPDATED.T),
    "dora": (low_rank(lengths=LENGTHS), BASE, DORA),
    "dora, as a column": (low_rank(lengths=LENGTHS[:, None]), BASE, DORA),
    "dora, stored in x out": (low_rank(is_transposed=True, lengths=LENGTHS), BASE.T, DORA.T),
    "scaled outputs": (Scaled(BY_ROW), BASE, BASE * BY_ROW),
    "scaled inputs": (Scaled(BY_COLUMN), BASE, BASE * BY_COLUMN),
    "scaled bias": (Scaled(BY_ROW.flatten()), BASE[:, 0], BASE[:, 0] * BY_ROW.flatten()),
    "shifted bias": (Shifted(LENGTHS, 3.0), BASE[:, 0], BASE[:, 0] + 3 * LENGTHS),
    "replaced": (replaced(), BASE, OTHER),
    "scaled upon replaced": (Upon(replaced(), Scaled(BY_COLUMN)), BASE, OTHER * BY_COLUMN),
    "some rows": (TrainedRows(PLACES, OTHER[:3]), BASE, BASE.index_copy(0, PLACES, OTHER[:3])),
}


@pytest.mark.parametrize("rows", [1, 2, 3, 99])
@pytest.mark.parametrize("case", CASES)
def test_rows_a_few_at_a_time_are_those_of_the_whole(case: str, rows: int) -> None:
    change, base, expected = CASES[case]
    assert change.shape_after(tuple(base.shape)) == tuple(expected.shape)
    merge, size = change.begin(), len(expected) if change.needs_whole else rows
    starts = range(0, len(expected), size)
    given = [base[start : start + size].clone() if change.needs_base else torch.empty(0) for start in starts]
    found = [merge(part, start, min(start + size, len(expected))) for start, part in zip(starts, given, strict=True)]
    torch.testing.assert_close(torch.cat(found), expected)


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_of_another_shape_is_refused(case: str) -> None:
    change, base, _ = CASES[case]
    with pytest.raises(ValueError, match=r"a matrix of|scales of|a row 6"):
        change.shape_after(tuple(size - 1 for size in base.shape))


def test_a_row_beyond_the_last_is_refused() -> None:
    assert CASES["some rows"][0].shape_after((7, IN)) == (7, IN)
    with pytest.raises(ValueError, match="a row 6"):
        CASES["some rows"][0].shape_after((6, IN))
