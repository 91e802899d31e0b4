import math
import re

import pytest

from stages.pages import formats, svg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (1.13, 3.9, [1, 2, 3, 4]),
        (0.0, 0.0, [0.0]),
        (997, 1003, [996, 998, 1000, 1002, 1004]),
    ],
)
def test_ticks_are_round_and_reach_from_end_to_end(low: float, high: float, ticks: list[float]) -> None:
    assert svg.round_ticks(low, high, 5) == pytest.approx(ticks)


def test_a_line_leaves_out_what_is_no_number_and_a_single_point_is_a_dot() -> None:
    chart = svg.line_chart([svg.Line("train", [(1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0)])], "loss")
    assert re.findall(r'points="([^"]*)"', chart) == ["0.0,0.0 1000.0,220.0"]
    assert "<circle" in svg.line_chart([svg.Line("train", [(1, 2.0)])], "loss")
    assert svg.line_chart([svg.Line("train", [])], "loss") == ""


def test_bars_are_as_wide_as_their_shares_and_titles_are_escaped() -> None:
    drawn = svg.bar([svg.Part(0.25, "kept", "<b>"), svg.Part(0.5, "aside", "two")], 'a "bar"')
    assert re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', drawn) == [("0.00", "25.00"), ("25.00", "50.00")]
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn


def test_a_single_row_is_seen_in_a_logarithmic_histogram() -> None:
    drawn = svg.histogram([1_000_000, 1], [1_000_000, 0], ["many", "one"], [], "rows", logarithmic=True)
    heights = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', drawn)]
    assert heights == pytest.approx([120, 120, 120 * math.log(2) / math.log(1_000_001)], abs=0.1)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0 %"), (0.0001, "< 0.1 %"), (0.123, "12.3 %"), (0.9999, "> 99.9 %"), (1, "100.0 %")],
)
def test_a_little_is_not_nothing_and_almost_all_is_not_all(share: float, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (0.123456, "0.1235"), (12345.678, "12,345.7"), (1e-7, "1e-07"), (math.nan, "nan")]
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert formats.number(value) == text
