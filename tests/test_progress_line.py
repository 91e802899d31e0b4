"""The line that says how far a stage is: its speed, the time that is left, and how often it comes."""

import io
import json
from typing import Any

import pytest

from stages.processes.progress import ProgressLine


def test_the_time_left_follows_from_this_attempt_alone(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    clock = iter([0.0, 100.0, 110.0, 120.0])
    monkeypatch.setattr("stages.processes.progress.time.monotonic", lambda: next(clock))
    line = ProgressLine("train", "json")
    for step in (900, 901, 911):  # a checkpoint held 900, and 100 seconds went by before the loop
        line(step, 1000, "steps")
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["per_second"], one["eta_seconds"]) for one in said] == [(None, None), (0.1, 990.0), (0.55, 161.8)]


def test_the_first_word_of_a_loop_says_nothing_of_the_time_that_preparing_for_it_took(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    clock = iter([0.0, 600.0, 615.0])
    monkeypatch.setattr("stages.processes.progress.time.monotonic", lambda: next(clock))
    line = ProgressLine("train")
    line(0, 61, "steps")
    line(1, 61, "steps")
    assert capsys.readouterr().err.splitlines() == [
        "[train] 0 of 61 steps",
        "[train] 1 of 61 steps  0.067 steps/s  15:00 left",
    ]


def test_unlike_pieces_of_work_are_each_told_and_have_no_speed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    clock = iter([0.0, 1.0, 1.5, 9.0])
    monkeypatch.setattr("stages.processes.progress.time.monotonic", lambda: next(clock))
    line = ProgressLine("train")
    line(0, 3, "preparations", now="reads")
    line(1, 3, "preparations", now="proves")
    line(2, 3, "preparations", now="waits")
    assert capsys.readouterr().err.splitlines() == [
        "[train] 0 of 3 preparations  now reads",
        "[train] 1 of 3 preparations  now proves",
        "[train] 2 of 3 preparations  now waits",
    ]


@pytest.mark.parametrize(("watched", "lines"), [(True, 3600), (False, 243)])
def test_an_hour_of_work_fills_no_log(monkeypatch: pytest.MonkeyPatch, watched: bool, lines: int) -> None:
    clock, stream = iter(range(3602)), io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: watched)
    monkeypatch.setattr("stages.processes.progress.time.monotonic", lambda: next(clock))
    line = ProgressLine("train", "text", stream)
    for second in range(1, 3601):
        line(second, 3600, "steps")
    assert len(stream.getvalue().splitlines()) == lines
    assert stream.getvalue().splitlines()[-1].startswith("[train] 3,600 of 3,600 steps")
