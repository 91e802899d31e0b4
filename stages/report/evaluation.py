"""How the tuned model compares with its base: measured, and side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl
from markupsafe import Markup

from stages.pages import svg
from stages.pages.marks import Marked, begin
from stages.pages.quotes import fetch_quoted
from stages.report.stage import ReportParams
from stages.store.queries import Tables, fetch

MODELS = ("base", "tuned")


class Measure(NamedTuple):
    """One model's value, with its interval where there is one."""

    value: float
    low: float | None
    high: float | None
    n: int
    chart: Markup


class Comparison(NamedTuple):
    """One metric on one slice of the data, for each model that was measured."""

    metric: str
    slice: str
    base: Measure | None
    tuned: Measure | None


class Answer(NamedTuple):
    """What a model said; `stopped` when it ended by itself."""

    text: Marked
    stopped: bool


class Generation(NamedTuple):
    """One prompt, what was expected, and what both models said."""

    prompt: Marked
    reference: Marked
    base: Answer
    tuned: Answer


def comparisons_of(tables: Tables) -> list[Comparison]:
    """Metric by metric, the whole before its slices."""
    if "evaluation" not in tables:
        return []
    rows = fetch(tables["evaluation"]).sort("metric", pl.col("slice") != "all", "slice", "model")
    is_whole = pl.col("slice") == "all"
    # The one slice that there is is the whole once more.
    is_again = pl.all_horizontal(
        pl.col(name) == pl.col(name).first().over("metric", "model") for name in ("value", "n")
    )
    rows = rows.filter(is_whole | ~is_again)
    found = []
    for (metric, part), group in rows.group_by("metric", "slice", maintain_order=True):
        measured = {row["model"]: row for row in group.to_dicts()}
        base, tuned = (_measure(measured.get(model), _bounds(list(measured.values())), model) for model in MODELS)
        found.append(Comparison(str(metric), str(part), base, tuned))
    return found


def _measure(row: Mapping[str, Any] | None, bounds: tuple[float, float], model: str) -> Measure | None:
    if row is None:
        return None
    chart = svg.interval(row["value"], row["low"], row["high"], bounds, model)
    return Measure(row["value"], row["low"], row["high"], row["n"], chart)


def _bounds(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """From the lowest to the highest number of both models, and a little further; a rate is shown from 0 to 1."""
    numbers = [row[name] for row in rows for name in ("value", "low", "high") if row[name] is not None]
    low, high = min(numbers), max(numbers)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    space = 0.08 * (high - low) or 0.5
    return low - space, high + space


def generations_of(tables: Tables, params: ReportParams) -> list[Generation]:
    """The first prompts by row id, which is as good as at random."""
    if "generations" not in tables:
        return []
    rows = fetch_quoted(tables["generations"].sort("row_id").head(params.generations_shown))
    return [_generation(row, params.excerpt_chars) for row in rows]


def _generation(row: Mapping[str, Any], chars: int) -> Generation:
    begun = {name: begin(text, chars) for name, text in row.items() if isinstance(text, str)}
    base, tuned = (Answer(begun[f"{model}_answer"], row[f"{model}_stopped"]) for model in MODELS)
    return Generation(begun["prompt"], begun["reference"], base, tuned)
