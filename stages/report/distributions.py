"""How the signals are spread over the rows, before and after the filter."""

from typing import NamedTuple

import polars as pl
from markupsafe import Markup

from stages.measures.histograms import count_bins, share_bins
from stages.pages import svg
from stages.schema import Column, load_schema
from stages.store.queries import Tables, fetch

PHRASES_SHOWN = 5
PHRASE_CHARS = 60
MEASURED = ("rated", "scored")  # the later one has the columns of the earlier


class Signal(NamedTuple):
    """One column of `scored`: a chart of its values, or how many rows have it and its most frequent values."""

    name: str
    description: str
    chart: Markup | None
    found: int = 0
    rows: int = 0
    phrases: tuple[tuple[str, int], ...] = ()


def signals_of(tables: Tables) -> list[Signal]:
    """Every column that stages put beside the rows to judge them by; a list is told by its values, a structure not at all."""
    name = next((name for name in MEASURED if name in tables), None)
    if name is None:
        return []
    given = set(tables[name].collect_schema().names()) - set(load_schema("unique").dtypes)
    signals = [column for column in load_schema(name).columns if column.name in given and "struct" not in column.type]
    before, after = tables[name], tables.get("kept", tables[name])
    told = [signal for column in signals if (signal := _signal(column, before, after))]
    always = load_schema("scored").dtypes  # what `rated` has beside it is empty where nobody asked for it
    return [signal for signal in told if signal.chart or signal.found or signal.name in always]


def _signal(column: Column, before: pl.LazyFrame, after: pl.LazyFrame) -> Signal | None:
    """None for a measure that no row has."""
    if column.type in ("string", "boolean") or column.type.startswith("list"):
        return _found(column, before)
    bins = (share_bins if column.unit == "share" else count_bins)(before, after, column.name)
    if not sum(bins.before):
        return None
    return Signal(column.name, column.description, svg.histogram(*bins, column.description, logarithmic=True))


def _found(column: Column, scored: pl.LazyFrame) -> Signal:
    """How many rows have the signal, and for one that quotes what it found, its most frequent values."""
    name = pl.col(column.name)
    is_list = column.type.startswith("list")
    has_it = name.list.len() > 0 if is_list else name if column.type == "boolean" else name.is_not_null()
    found, rows = fetch(scored.select(has_it.sum(), pl.len())).row(0)
    phrases: tuple[tuple[str, int], ...] = ()
    if "string" in column.type:
        values = scored.select(name.explode() if is_list else name)
        counted = fetch(values.group_by(name.str.head(PHRASE_CHARS).alias("phrase")).agg(rows=pl.len()))
        most = counted.drop_nulls("phrase").sort(["rows", "phrase"], descending=[True, False])
        phrases = tuple(most.head(PHRASES_SHOWN).rows())
    return Signal(column.name, column.description, None, found or 0, rows, phrases)
