"""How far two sets of rows differ in their lengths and kinds, as numbers with a known meaning."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from stages.measures.histograms import Bins, count_bins
from stages.measures.row_measures import KIND_CHARS, MEASURES, kind_columns, quantiles, value_counts
from stages.store.queries import fetch

LITTLE, MUCH = 0.1, 0.25  # the usual reading of a PSI: Siddiqi, Credit Risk Scorecards (2006), p. 137
LEAST_SHARE = 1e-4  # stands for an empty bin, whose logarithm would be infinite
KINDS = ("source", "split")
KINDS_COMPARED = 12


class LengthShift(NamedTuple):
    """One measure before and after. `ks` is the largest distance of the two cumulative shares, 0-1 (Kolmogorov-Smirnov)."""

    name: str
    title: str
    before: tuple[int, int, int]  # 5 %, half and 95 % of the rows are no longer
    after: tuple[int, int, int]
    psi: float
    ks: float
    bins: Bins


class KindShift(NamedTuple):
    """The shares of the values of one column before and after; the rarest are taken together as `others`."""

    name: str
    shares: list[tuple[str, float, float]]
    psi: float


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


def reading_of(psi: float) -> str:
    """What a PSI usually means."""
    return "as before" if psi < LITTLE else "moved" if psi < MUCH else "moved far"


def population_stability_index(before: Sequence[float], after: Sequence[float]) -> float:
    """Sum of (q - p) ln(q / p) over the shares p before and q after; 0 = the same, see `reading_of`."""
    pairs = [(max(p, LEAST_SHARE), max(q, LEAST_SHARE)) for p, q in zip(before, after, strict=True)]
    return sum((q - p) * math.log(q / p) for p, q in pairs)


def _length_shift(name: str, title: str, counts: Sequence[pl.DataFrame]) -> LengthShift | None:
    """None for a measure that the rows of one side do not have."""
    if any(side.is_empty() for side in counts):
        return None
    rows = [int(side["rows"].sum()) for side in counts]
    bins = _common_bins(counts)
    shares = [_shares(side) for side in (bins.before, bins.after)]
    return LengthShift(
        name, title, quantiles(counts[0], rows[0]), quantiles(counts[1], rows[1]),
        population_stability_index(*shares), _largest_distance(*counts), bins,
    )  # fmt: skip


def _common_bins(counts: Sequence[pl.DataFrame]) -> Bins:
    """The bins of both sides' values; `count_bins` spans those of its first table, so it gets the ends of both."""
    ends = pl.concat(counts).select("measure", "value", rows=pl.lit(0, pl.UInt32))
    return count_bins(pl.concat([counts[0], ends]).lazy(), counts[1].lazy(), "value", pl.col("rows").sum())


def _shares(rows: Sequence[int]) -> list[float]:
    total = sum(rows) or 1
    return [count / total for count in rows]


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
    totals = [sum(side.values()) or 1 for side in counted]
    named = _shared_names(counted)
    shares = [(key or "unknown", *(side.get(key, 0) / total for side, total in zip(counted, totals, strict=True)))
              for key in named]  # fmt: skip
    compared = [(str(key), float(p), float(q)) for key, p, q in shares[:KINDS_COMPARED]]
    if rest := shares[KINDS_COMPARED:]:
        compared.append((f"{len(rest)} others", sum(p for _, p, _ in rest), sum(q for _, _, q in rest)))
    return KindShift(
        name, compared, population_stability_index([p for _, p, _ in compared], [q for _, _, q in compared])
    )


def _shared_names(counted: Sequence[Mapping[str | None, int]]) -> list[str | None]:
    """The values of both sides, the most frequent first."""
    rows = {key: sum(side.get(key, 0) for side in counted) for side in counted for key in side}
    return sorted(rows, key=lambda key: (-rows[key], key or ""))
