"""What a stage kept and what it set aside, held against what it read."""

from pathlib import Path

import pytest

from curated_run import filled, record
from rows import sealed
from stages.errors import DataError
from stages.execution.conservation import check_conservation
from stages.execution.receipt import most_frequent_first
from stages.pipeline import STAGES


@pytest.mark.parametrize(("kept", "rejected", "told"), [
    ([1], [2], None),
    ([1], [], "1 lost"),
    ([1, 2, 3], [], "1 made up"),
    ([1, 2], [2], "1 both kept and set aside"),
])  # fmt: skip
def test_each_row_is_kept_or_set_aside_and_never_both(
    tmp_path: Path, kept: list[int], rejected: list[int], told: str | None
) -> None:
    def table_of(dataset: str, numbers: list[int]) -> Path:
        why = {"reason": "too_long", "value": 9.0, "threshold": 5.0}
        return sealed(tmp_path / dataset, dataset, filled(dataset, [record(number, **why) for number in numbers]))

    made = {"kept": table_of("kept", kept), "rejected": table_of("rejected", rejected)}
    given = table_of("rated", [1, 2])
    if told is None:
        check_conservation(STAGES["filter"], given, made)
    else:
        with pytest.raises(
            DataError, match=rf"stage filter does not balance: of 2 rows in rated, {told} \([0-9a-f]+\)"
        ):
            check_conservation(STAGES["filter"], given, made)


def test_the_most_frequent_reason_is_told_first() -> None:
    assert most_frequent_first({"a": 1, "b": 3, "c": 3}) == [("b", 3), ("c", 3), ("a", 1)]
