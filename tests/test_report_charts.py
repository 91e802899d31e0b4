import math
import re

import polars as pl
import pytest

from stages.measures.filter_rules import RULES
from stages.measures.histograms import count_bins
from stages.pages import formats, svg
from stages.report.thresholds import _chart


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


def test_ticks_that_lie_close_together_have_the_digits_that_tell_them_apart() -> None:
    assert formats.short_apart([10.8, 10.805, 10.81]) == ["10.8", "10.805", "10.81"]
    assert formats.short_apart([0, 1500, 2000]) == ["0", "1.5k", "2k"]


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


@pytest.mark.parametrize(("values", "marks"), [
    ([2, 3, 4], ["2", "3", "4"]),  # no power of ten among them: every bar is named
    ([45, 70, 120], ["40", "64", "100"]),
    ([2, 50], ["2", "10", "40"]),  # too many bars for that: the ends too
    ([1, 5, 30], ["1", "10"]),
    ([0, 12], ["0", "1", "10"]),
])  # fmt: skip
def test_the_axis_of_counts_can_be_read_however_short_it_is(values: list[int], marks: list[str]) -> None:
    rows = pl.LazyFrame({"turns": values})
    bins = count_bins(rows, rows, "turns")
    assert [tick.text for tick in bins.ticks] == marks
    assert all(0 < tick.place < 1 for tick in bins.ticks)


@pytest.mark.parametrize(("setting", "shares", "drawn"), [
    # Kept are rows up to the threshold: half of them from the first value on, all from the second.
    ("max_symbol_share", [0.5, 1.0], [(0, 0.5), (1000, 0.5), (1000, 1.0), (1000, 1.0)]),
    # Kept are rows from the threshold on: all up to the first value, half up to the second.
    ("min_distinct_word_share", [1.0, 0.5], [(0, 1.0), (0, 1.0), (0, 0.5), (1000, 0.5)]),
])  # fmt: skip
def test_between_two_values_of_rows_a_curve_is_level(
    setting: str, shares: list[float], drawn: list[tuple[float, float]]
) -> None:
    rule = next(rule for rule in RULES if rule.setting == setting)
    chart = _chart(pl.DataFrame({"threshold": [0.0, 1.0], "share": shares}), [], rule, is_share=True)
    points = re.search(r'points="([^"]*)"', str(chart))
    assert points is not None
    heights = {0.5: 110.0, 1.0: 0.0}
    assert points[1] == " ".join(f"{x:.1f},{heights[y]:.1f}" for x, y in drawn)
