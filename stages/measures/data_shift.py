"""How far two sets of rows differ in their lengths and kinds, as numbers with a known meaning."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from stages.measures.histograms import Bins, count_bins
from stages.measures.row_measures import KIND_CHARS, MEASURES, kind_columns, quantiles, told_by_name, value_counts
from stages.store.queries import fetch

LITTLE, MUCH = 0.1, 0.25  # the usual reading of a PSI: Siddiqi, Credit Risk Scorecards (2006), p. 137
LEAST_SHARE = 1e-4  # stands for an empty bin, whose logarithm would be infinite; of few rows half a row does
NORMAL_95 = 1.645  # that chance alone goes beyond once in 20 times
KINDS = ("source", "split")
KINDS_COMPARED = 12


class LengthShift(NamedTuple):
    """One measure before and after. `ks` is the largest distance of the two cumulative shares, 0-1 (Kolmogorov-Smirnov)."""

    name: str
    title: str
    before: tuple[int, int, int]  # 5 %, half and 95 % of the rows are no longer
    after: tuple[int, int, int]
    psi: float
    by_chance: float  # the PSI that two picks of so many rows from the same have at most, 19 times in 20
    ks: float
    bins: Bins


class KindShift(NamedTuple):
    """The shares of the values of one column before and after; the rarest are taken together as `others`."""

    name: str
    shares: list[tuple[str, float, float]]
    psi: float
    by_chance: float  # as that of lengths


class Shift(NamedTuple):
    lengths: list[LengthShift]
    kinds: list[KindShift]


def shift_between(before: pl.LazyFrame, after: pl.LazyFrame) -> Shift:
    """Lengths of answers and prompts, turns, and every column that says of what kind a row is, when both sides have it."""
    counted = [value_counts(rows) for rows in (before, after)]
    lengths = [
        _length_shift(name, title, [c.filter(measure=name) for c in counted]) for name, title in MEASURES.items()
    ]
    columns = [{*kind_columns(rows), *KINDS} & set(rows.collect_schema().names()) for rows in (before, after)]
    kinds = [_kind_shift(name, before, after) for name in sorted(columns[0] & columns[1])]
    return Shift([shift for shift in lengths if shift], [shift for shift in kinds if shift])


def reading_of(shift: LengthShift | KindShift) -> str:
    """What a PSI usually means, where chance alone would not give it."""
    if shift.psi < LITTLE:
        return "as before"
    if shift.psi <= shift.by_chance:
        return f"too few rows to tell: chance gives up to {shift.by_chance:.3f}"
    return "moved" if shift.psi < MUCH else "moved far"


def population_stability_index(before: Sequence[int], after: Sequence[int]) -> float:
    """Sum of (q - p) ln(q / p) over the shares p before and q after of these counts; 0 = the same, see `reading_of`."""
    held = [(rows, others) for rows, others in zip(before, after, strict=True) if rows or others]
    pairs = zip(*(_shares(side) for side in zip(*held, strict=True)), strict=True)
    return math.fsum((q - p) * math.log(q / p) for p, q in pairs)


def index_by_chance(before: Sequence[int], after: Sequence[int]) -> float:
    """The index that two picks of so many rows from the same have at most, 19 times in 20.

    It is spread like chi-squared of one degree less than there are bins, times 1/n + 1/m (Yurdakul and Naranjo 2020,
    Journal of Risk Model Validation 14(4)); the quantile by Wilson and Hilferty 1931.
    """
    degrees = sum(p + q > 0 for p, q in zip(before, after, strict=True)) - 1
    if degrees < 1:
        return 0.0
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + NORMAL_95 * math.sqrt(spread)) ** 3
    return quantile * (1 / max(sum(before), 1) + 1 / max(sum(after), 1))


def _length_shift(name: str, title: str, counts: Sequence[pl.DataFrame]) -> LengthShift | None:
    """None for a measure that the rows of one side do not have."""
    if any(side.is_empty() for side in counts):
        return None
    rows = [int(side["rows"].sum()) for side in counts]
    bins = _common_bins(counts)
    sides = bins.before, bins.after
    return LengthShift(
        name, title, quantiles(counts[0], rows[0]), quantiles(counts[1], rows[1]),
        population_stability_index(*sides), index_by_chance(*sides), _largest_distance(*counts), bins,
    )  # fmt: skip


def _common_bins(counts: Sequence[pl.DataFrame]) -> Bins:
    """The bins of both sides' values; `count_bins` spans those of its first table, so it gets the ends of both."""
    ends = pl.concat(counts).select("measure", "value", rows=pl.lit(0, pl.UInt32))
    return count_bins(pl.concat([counts[0], ends]).lazy(), counts[1].lazy(), "value", pl.col("rows").sum())


def _shares(rows: Sequence[int]) -> list[float]:
    """Shares of all; an empty one counts as LEAST_SHARE, or as half a row where that is more."""
    least = max(LEAST_SHARE, 0.5 / total) if (total := sum(rows)) else LEAST_SHARE
    return [max(count / (total or 1), least) for count in rows]


def _largest_distance(before: pl.DataFrame, after: pl.DataFrame) -> float:
    sides = [side.select("value", pl.col("rows") / side["rows"].sum()) for side in (before, after)]
    both = sides[0].join(sides[1], on="value", how="full", coalesce=True, suffix="_after").sort("value").fill_null(0.0)
    distance = (pl.col("rows").cum_sum() - pl.col("rows_after").cum_sum()).abs().max()
    return float(both.select(distance).item())


def _kind_shift(name: str, before: pl.LazyFrame, after: pl.LazyFrame) -> KindShift | None:
    """None where no row has a value."""
    value = pl.col(name).str.head(KIND_CHARS)
    counted = [dict(fetch(rows.group_by(value).agg(rows=pl.len())).rows()) for rows in (before, after)]
    if not any(key is not None for side in counted for key in side):
        return None
    named = [(key or "unknown", *(side.get(key, 0) for side in counted)) for key in _shared_names(counted)]
    shown = told_by_name(len(named), KINDS_COMPARED)
    compared = named[:shown]
    if rest := named[shown:]:
        compared.append((f"{len(rest)} others", sum(rows for _, rows, _ in rest), sum(rows for _, _, rows in rest)))
    sides = [[rows for _, rows, _ in compared], [rows for _, _, rows in compared]]
    totals = [sum(side) or 1 for side in sides]
    shares = [(name, rows / totals[0], others / totals[1]) for name, rows, others in compared]
    return KindShift(name, shares, population_stability_index(*sides), index_by_chance(*sides))


def _shared_names(counted: Sequence[Mapping[str | None, int]]) -> list[str | None]:
    """The values of both sides, the most frequent first."""
    rows = {key: sum(side.get(key, 0) for side in counted) for side in counted for key in side}
    return sorted(rows, key=lambda key: (-rows[key], key or ""))
