"""What became of each source: rows in, rows set aside by each stage, and the examples and tokens at the end."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from stages.report.funnel import DECISIONS, rows_of
from stages.store.queries import Tables, count_by, fetch

LAST = "examples"


class Source(NamedTuple):
    """One source in rows; `aside` has a number for each table that took rows from any source, in pipeline order."""

    name: str
    conversations: int
    aside: dict[str, int]
    left: int
    tokens: int | None

    @property
    def share(self) -> float:
        """Of the conversations, those that are left."""
        return self.left / self.conversations if self.conversations else 0.0


class Sources(NamedTuple):
    """All sources, largest first, the tables of set-aside rows that hold any, and what all of them come to."""

    rows: list[Source]
    aside: list[str]
    total: Source


def sources_of(tables: Tables) -> Sources | None:
    """None without conversations: then nobody knows what came in."""
    kept = [decision.keeps for decision in DECISIONS if decision.keeps in tables]
    if "conversations" not in tables:
        return None
    aside = [decision.sets_aside for decision in DECISIONS if decision.sets_aside in tables]
    counted = {name: count_by(rows_of(name, tables), "source") for name in {"conversations", kept[-1], *aside}}
    aside = [name for name in aside if counted[name]]
    tokens = _tokens_by_source(tables) if LAST in tables else None
    names = {name for rows in counted.values() for name in rows}
    rows = [_source(name, aside, counted, kept[-1], tokens) for name in names]
    if not rows:
        return None
    return Sources(sorted(rows, key=lambda row: (-row.conversations, row.name)), aside, _total(rows, aside))


def _source(
    name: str, aside: list[str], counted: Mapping[str, dict[str, int]], last: str, tokens: dict[str, int] | None
) -> Source:
    set_aside = {table: counted[table].get(name, 0) for table in aside}
    count = None if tokens is None else tokens.get(name, 0)
    return Source(name, counted["conversations"].get(name, 0), set_aside, counted[last].get(name, 0), count)


def _total(rows: list[Source], aside: list[str]) -> Source:
    set_aside = {table: sum(row.aside[table] for row in rows) for table in aside}
    tokens = None if rows[0].tokens is None else sum(row.tokens or 0 for row in rows)
    return Source(
        "all sources", sum(row.conversations for row in rows), set_aside, sum(row.left for row in rows), tokens
    )


def _tokens_by_source(tables: Tables) -> dict[str, int]:
    tokens = pl.col("input_ids").list.len().cast(pl.Int64).sum()
    return dict(fetch(tables[LAST].group_by("source").agg(tokens)).rows())
