"""What other thresholds of the filter would keep, and the rows that only just fell on one side of each.

Of a stage that runs alone the filter's values are not known: then a threshold is known where a row was rejected by it.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import polars as pl
from markupsafe import Markup

from stages.measures.filter_rules import RULES, Rule, StatedSettings
from stages.measures.what_if import kept_curve
from stages.pages import svg
from stages.pages.formats import short
from stages.pages.marks import begin
from stages.pages.quotes import TEXTS, Quote, beginnings, fetch_quoted
from stages.report.stage import ReportParams
from stages.schema import load_schema
from stages.store.queries import Tables, fetch

NEAREST_SHOWN = 3  # rows on each side of a threshold
TICKS = 5
CURVE_POINTS = 301  # quantiles: where a rule rejects one row of three hundred the curve still bends
READ = ("rated", "scored")  # what the filter measures its rows by, the later one first


class Misses(NamedTuple):
    """The rows nearest to a rule's threshold on each side, nearest first."""

    rejected: list[Quote]
    kept: list[Quote]


class RuleCurve(NamedTuple):
    """What one rule alone keeps by its threshold; `thresholds` are those of this run, and none where the rule is off."""

    reason: str
    setting: str
    is_lower_bound: bool
    description: str
    rejected: int
    thresholds: list[float]
    chart: Markup | None  # None where no row has a value
    misses: Misses | None


class Limits(NamedTuple):
    """The thresholds of one rule, and the threshold of each row."""

    stated: list[float]
    of_row: pl.Expr


def curves_of(tables: Tables, params: ReportParams) -> list[RuleCurve]:
    """Every rule with a number for a threshold that is on or whose values differ; those that rejected rows come first."""
    name = next((name for name in READ if name in tables), None)
    if name is None:
        return []
    columns = set(tables[name].collect_schema().names())
    rules = [rule for rule in RULES if not rule.is_switch and set(rule.value.meta.root_names()) <= columns]
    found = [curve for rule in rules if (curve := _curve(rule, tables[name], tables, params))]
    return sorted(found, key=lambda curve: (-curve.rejected, not curve.thresholds))


def _curve(rule: Rule, rows: pl.LazyFrame, tables: Tables, params: ReportParams) -> RuleCurve | None:
    points = kept_curve(rows, rule, CURVE_POINTS)
    rejected = _rejected(rule, tables)
    limits = _limits(rule, rejected, params)
    if points.height < 2 and not limits.stated:
        return None
    described = {column.name: column for column in load_schema("kept").columns}
    column = described[rule.value.meta.root_names()[0]]
    chart = _chart(points, limits.stated, rule, is_share=column.unit == "share")
    misses = _misses(rule, limits.of_row, rows, tables, params.excerpt_chars) if limits.stated else None
    count = int(rejected["rows"].sum())
    return RuleCurve(
        rule.reason, rule.setting, rule.is_lower_bound, column.description, count, limits.stated, chart, misses
    )


def _rejected(rule: Rule, tables: Tables) -> pl.DataFrame:
    """task_type, threshold and number of the rows that were rejected by a rule."""
    if "rejected" not in tables:
        return pl.DataFrame(schema={"task_type": pl.String, "threshold": pl.Float64, "rows": pl.Int64})
    mine = tables["rejected"].filter(pl.col("reason") == rule.reason)
    return fetch(mine.group_by("task_type", "threshold").agg(rows=pl.len())).sort("task_type", "threshold")


def _limits(rule: Rule, rejected: pl.DataFrame, params: ReportParams) -> Limits:
    if params.filter:
        settings = StatedSettings(params.filter)
        return Limits(rule.stated(settings), rule.thresholds(settings))
    by_task = dict(rejected.select("task_type", "threshold").rows())
    of_row = pl.col("task_type").replace_strict(by_task, default=None, return_dtype=pl.Float64)
    return Limits(sorted(set(by_task.values())), of_row)


def _chart(points: pl.DataFrame, thresholds: Sequence[float], rule: Rule, *, is_share: bool) -> Markup | None:
    """Share of the rows kept over the threshold; numbers that are no shares stand on a logarithmic axis."""
    if points.is_empty():
        return None
    values = [*points["threshold"].to_list(), *thresholds]
    low, high = (_along(value, is_share=is_share) for value in (min(values), max(values)))
    places = [(_along(value, is_share=is_share) - low) / (high - low or 1) for value in values]
    shares: list[float] = points["share"].to_list()
    curve = svg.Line("train", _steps(places[: points.height], shares, is_lower_bound=rule.is_lower_bound))
    foot = min(shares) if min(shares) < 1 else 0.0  # a curve along the top needs a line to be seen against
    marks = [svg.Line("threshold", [(place, foot), (place, 1.0)]) for place in places[points.height :]]
    across = [
        svg.Tick((_along(value, is_share=is_share) - low) / (high - low or 1), short(value))
        for value in _round_values(min(values), max(values), is_share=is_share)
    ]
    return svg.line_chart(
        [curve, *marks],
        f"{rule.setting}: share kept",
        height=110,
        across=across,
        up_texts=lambda shares: [f"{100 * share:.6g} %" for share in shares],
    )


def _round_values(low: float, high: float, *, is_share: bool) -> list[float]:
    """Round numbers from `low` to `high` to mark an axis with, the fewer of them the longer a logarithmic one is."""
    if is_share:
        return [value for value in svg.round_ticks(low, high, TICKS) if low <= value <= high] or [low, high]
    powers = range(len(f"{max(high, 1):.0f}"))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) <= TICKS + 1:
            break
    return found if len(found) > 1 else sorted({low, high})


def _steps(places: Sequence[float], shares: Sequence[float], *, is_lower_bound: bool) -> list[tuple[float, float]]:
    """The curve as it is: between two values of rows every threshold keeps the same rows, also out to where all are kept."""
    points = [(0.0, shares[0])] if is_lower_bound else []
    for (left, above), (right, below) in pairwise(zip(places, shares, strict=True)):
        points += [(left, above), (left, below) if is_lower_bound else (right, above)]
    return [*points, (places[-1], shares[-1]), *([] if is_lower_bound else [(1.0, shares[-1])])]


def _along(value: float, *, is_share: bool) -> float:
    return value if is_share else math.log10(1 + max(value, 0.0))


def _misses(rule: Rule, threshold: pl.Expr, rows: pl.LazyFrame, tables: Tables, chars: int) -> Misses:
    """Rows that the rule rejects, whatever other rule was tried before it, and rows that the filter kept."""
    broken = rule.broken(pl.col("threshold"))
    measured = [table.with_columns(value=rule.value, threshold=threshold) for table in (rows, tables.get("kept", rows))]
    return Misses(_nearest(measured[0].filter(broken), chars), _nearest(measured[1].filter(~broken), chars))


def _nearest(rows: pl.LazyFrame, chars: int) -> list[Quote]:
    distance = (pl.col("value") - pl.col("threshold")).abs()
    ids = rows.filter(pl.col("value").is_not_null() & pl.col("threshold").is_not_null()).select(
        "row_id", distance=distance
    )
    nearest = fetch(ids.bottom_k(NEAREST_SHOWN, by=["distance", "row_id"])).sort("distance", "row_id")
    wanted = rows.filter(pl.col("row_id").is_in(nearest["row_id"].to_list()))
    told = fetch_quoted(wanted.select("row_id", "source", "file", "record", "value", "threshold", *beginnings()))
    by_id = {row["row_id"]: row for row in told}
    return [_quote(by_id[row_id], chars) for row_id in nearest["row_id"]]


def _quote(row: dict[str, object], chars: int) -> Quote:
    place = " · ".join(str(part) for part in (row["source"], row["file"]) if part) + f" record {row['record']:,}"
    prompt, response = (begin(str(row[n] or ""), chars, int(str(row[f"{n}_length"] or 0))) for n in TEXTS)
    facts = [(name, row[name]) for name in ("value", "threshold")]
    return Quote(place, str(row["row_id"]), facts, prompt if prompt.pieces else None, response)
