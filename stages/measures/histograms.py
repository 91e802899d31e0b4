"""Rows counted by bin, before and after something was done to them."""

import math
from typing import NamedTuple

import polars as pl

from stages.pages import svg
from stages.pages.formats import short
from stages.store.queries import fetch

BINS_PER_DECADE = 5
SHARE_BINS = 20
BINS_NAMED = 6  # so many bins have room for the name of each


class Bins(NamedTuple):
    """Row counts by bin of one column, for all rows and for those kept."""

    before: list[int]
    after: list[int]
    names: list[str]
    ticks: list[svg.Tick]


def count_bins(before: pl.LazyFrame, after: pl.LazyFrame, column: str, rows_of: pl.Expr | None = None) -> Bins:
    """A bin for 0 and five per power of ten, from the smallest value's to the largest's.

    `rows_of` adds up how many rows those in a bin stand for; without it each stands for itself.
    """
    value = pl.col(column)
    # log10 of a power of ten may come out a hair below the whole number that it is.
    bin_number = pl.when(value > 0).then((value.log10() * BINS_PER_DECADE + 1e-9).floor() + 1).otherwise(0)
    counted = [_counted(rows, column, bin_number, rows_of) for rows in (before, after)]
    first, last = min(counted[0], default=0), max(counted[0], default=0)
    shown = range(first, last + 1)
    marked = [number for number in shown if number == 0 or number % BINS_PER_DECADE == 1]
    if len(marked) < 2:  # one mark on a logarithmic axis gives it no scale
        marked = sorted({first, *marked, last}) if len(shown) > BINS_NAMED else list(shown)
    ticks = [svg.Tick((number - first + 0.5) / len(shown), short(_bounds(number)[0])) for number in marked]
    before_after = (_filled(counted[0], shown), _filled(counted[1], shown))
    return Bins(*before_after, [_whole_numbers(number) for number in shown], ticks)


def share_bins(before: pl.LazyFrame, after: pl.LazyFrame, column: str) -> Bins:
    """Twenty equal bins from 0 to 1; 1 belongs to the last."""
    bin_number = (pl.col(column) * SHARE_BINS).floor().clip(0, SHARE_BINS - 1)
    counted = [_filled(_counted(rows, column, bin_number), range(SHARE_BINS)) for rows in (before, after)]
    names = [f"{place / SHARE_BINS:g}–{(place + 1) / SHARE_BINS:g}" for place in range(SHARE_BINS)]
    ticks = [svg.Tick(place / 4, f"{place / 4:g}") for place in range(5)]
    return Bins(counted[0], counted[1], names, ticks)


def _counted(rows: pl.LazyFrame, column: str, bin_number: pl.Expr, rows_of: pl.Expr | None = None) -> dict[int, int]:
    """Bin -> rows; rows without a value are left out."""
    given = rows.filter(pl.col(column).is_not_null())
    bins = fetch(
        given.group_by(bin_number.cast(pl.Int64).alias("bin")).agg(rows=pl.len() if rows_of is None else rows_of)
    )
    return dict(bins.sort("bin").rows())


def _filled(counted: dict[int, int], bins: range) -> list[int]:
    return [counted.get(number, 0) for number in bins]


def _whole_numbers(bin_number: int) -> str:
    """The whole numbers of a logarithmic bin, such as 4-6."""
    low, high = _bounds(bin_number)
    return f"{low:,}" if high - low <= 1 else f"{low:,}–{high - 1:,}"


def _bounds(bin_number: int) -> tuple[int, int]:
    """The lowest whole number of a logarithmic bin, and that of the next."""
    if bin_number == 0:
        return 0, 1
    low, high = (math.ceil(10 ** ((bin_number - 1 + step) / BINS_PER_DECADE) - 1e-9) for step in (0, 1))
    return low, high
