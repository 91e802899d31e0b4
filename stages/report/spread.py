"""How long rows are, and of which kinds, after each stage: what a stage removed shows beside what it let through."""

from typing import NamedTuple

import polars as pl
from markupsafe import Markup

from stages.measures.histograms import count_bins
from stages.measures.row_measures import KIND_CHARS, MEASURES, kind_columns, quantiles, told_by_name, value_counts
from stages.pages import svg
from stages.store.queries import Tables, fetch

SNAPSHOTS = {"ingest": "conversations", "dedup": "unique", "filter": "kept", "decontaminate": "clean", "mix": "mixture"}
KINDS_SHOWN = 8


class StageSpread(NamedTuple):
    """One measure after one stage; `removed` rows have a value and were let through before. No chart: none was removed."""

    stage: str
    rows: int
    removed: int
    low: int  # 5 % of the rows are shorter
    median: int
    high: int  # 5 % of the rows are longer
    chart: Markup | None


class Spread(NamedTuple):
    """One measure, stage by stage."""

    name: str
    title: str
    stages: list[StageSpread]


class Kind(NamedTuple):
    """One value of a column with its share of the rows after each stage, 0-1."""

    name: str | None  # None = the row has none
    shares: list[float]


class Makeup(NamedTuple):
    """The most frequent kinds in one column; `others` has the share of all further ones."""

    column: str
    stages: list[str]
    kinds: list[Kind]
    others: Kind | None


def spreads_of(tables: Tables) -> list[Spread]:
    """Answer length, prompt length and turns after each stage whose kept rows were given."""
    given = {stage: name for stage, name in SNAPSHOTS.items() if name in tables}
    counted = {stage: value_counts(tables[name]) for stage, name in given.items()}
    spreads = [Spread(name, title, _stages(name, title, counted)) for name, title in MEASURES.items()]
    return [spread for spread in spreads if spread.stages]


def _stages(measure: str, title: str, counted: dict[str, pl.DataFrame]) -> list[StageSpread]:
    """Nothing for a measure that no row has."""
    found: list[StageSpread] = []
    before: pl.DataFrame | None = None
    for stage, counts in counted.items():
        after = counts.filter(measure=measure)
        if after.is_empty():
            continue
        rows = int(after["rows"].sum())
        removed = int(before["rows"].sum()) - rows if before is not None else 0
        chart = None
        if removed or before is None:
            bins = count_bins((after if before is None else before).lazy(), after.lazy(), "value", pl.col("rows").sum())
            chart = svg.histogram(*bins, f"{title} after {stage}", height=96, logarithmic=True)
        found.append(StageSpread(stage, rows, removed, *quantiles(after, rows), chart))
        before = after
    return found


def makeups_of(tables: Tables) -> list[Makeup]:
    """Tasks and languages after each stage, for every column that names them and has values."""
    given = {stage: name for stage, name in SNAPSHOTS.items() if name in tables}
    columns: dict[str, list[str]] = {}
    for stage, name in given.items():
        for column in kind_columns(tables[name]):
            columns.setdefault(column, []).append(stage)
    makeups = [_makeup(column, {stage: tables[given[stage]] for stage in stages}) for column, stages in columns.items()]
    return [makeup for makeup in makeups if any(kind.name is not None for kind in makeup.kinds)]


def _makeup(column: str, tables: Tables) -> Makeup:
    value = pl.col(column).str.head(KIND_CHARS)
    counted = [dict(fetch(table.group_by(value).agg(rows=pl.len())).rows()) for table in tables.values()]
    totals = [sum(rows.values()) or 1 for rows in counted]
    names = sorted({name for rows in counted for name in rows}, key=lambda name: (-counted[0].get(name, 0), name or ""))
    kinds = [
        Kind(name, [rows.get(name, 0) / total for rows, total in zip(counted, totals, strict=True)]) for name in names
    ]
    shown = told_by_name(len(kinds), KINDS_SHOWN)
    rest = kinds[shown:]
    others = Kind(
        f"{len(rest)} others",
        [sum(shares) for shares in zip(*(kind.shares for kind in rest), strict=True)],
    )
    return Makeup(column, list(tables), kinds[:shown], others if rest else None)
