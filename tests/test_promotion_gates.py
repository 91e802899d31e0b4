"""Given what was measured of a version and of its rival -> whether each gate lets it pass."""

from typing import Any

import pytest
from pydantic import ValidationError

from stages.promote.gates import Rival, judge
from stages.promote.stage import PromoteParams

GOOD = {"held_out_loss": 1.0, "stop_rate": 1.0}


@pytest.mark.parametrize(
    ("challenger", "champion", "params", "passed", "bound"),
    [
        (1.5, 1.5, {}, True, 1.5),
        (1.25, 1.5, {}, True, 1.5),
        (1.51, 1.5, {}, False, 1.5),
        (1.6, 1.5, {"max_held_out_loss_increase": 0.1}, True, 1.65),
        (1.7, 1.5, {"max_held_out_loss_increase": 0.1}, False, 1.65),
        (9.0, None, {}, True, None),
        (9.0, 1.5, {"max_held_out_loss_increase": None}, True, None),
        (None, 1.5, {}, False, 1.5),
    ],
)
def test_a_version_may_be_no_worse_than_the_champion(
    challenger: float | None, champion: float | None, params: dict[str, Any], passed: bool, bound: float | None
) -> None:
    measured = {} if challenger is None else {"held_out_loss": challenger}
    rival = None if champion is None else Rival(1, {"held_out_loss": champion}, same_examples=True)
    gate = judge(measured, rival, PromoteParams(**params))[0]

    assert gate.passed is passed
    assert gate.bound == (None if bound is None else pytest.approx(bound))


def test_a_champion_without_a_loss_cannot_be_compared_with() -> None:
    gate = judge(GOOD, Rival(4, {}, same_examples=True), PromoteParams())[0]

    assert not gate.passed
    assert "version 4 has no held-out loss" in gate.detail


@pytest.mark.parametrize(
    ("stop_rate", "min_stop_rate", "passed"),
    [(0.9, 0.9, True), (0.89, 0.9, False), (None, 0.9, False), (0.0, None, True), (0.0, 0.0, True)],
)
def test_a_version_must_end_its_answers(stop_rate: float | None, min_stop_rate: float | None, passed: bool) -> None:
    measured = {} if stop_rate is None else {"stop_rate": stop_rate}

    assert judge(measured, None, PromoteParams(min_stop_rate=min_stop_rate))[1].passed is passed


def test_the_detail_says_when_two_losses_were_measured_on_different_examples() -> None:
    same, other = (judge(GOOD, Rival(2, GOOD, same_examples=same), PromoteParams())[0].detail for same in (True, False))

    assert "measured on the same examples" in same
    assert "on other examples" in other


def test_aliases_must_be_different() -> None:
    with pytest.raises(ValidationError, match="three different names"):
        PromoteParams(champion_alias="challenger")
