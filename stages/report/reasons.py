"""Why rows were set aside, with a few of them quoted: the same few whenever the data are the same."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from stages.conversation_text import prompt_text, response_text
from stages.report.datasets import Tables, fetch
from stages.report.funnel import DECISIONS, Decision
from stages.report.stage import ReportParams
from stages.schema import load_schema

ROW = "row"  # position in the table's key order


class Excerpt(NamedTuple):
    """The beginning of a text, and how long it is."""

    text: str
    chars: int

    @property
    def more_chars(self) -> int:
        return self.chars - len(self.text)


class Quote(NamedTuple):
    """One row that was set aside: where it came from, what was found, what it says, and the row that stays instead."""

    place: str
    row_id: str | None
    facts: list[tuple[str, object]]
    prompt: Excerpt | None
    response: Excerpt | None
    survivor: "Quote | None" = None


class Reason(NamedTuple):
    """`share` is of the rows that the stage set aside."""

    name: str
    rows: int
    share: float
    quotes: list[Quote]


class SetAside(NamedTuple):
    """All reasons of one stage, most frequent first."""

    stage: str
    dataset: str
    rows: int
    reasons: list[Reason]


def set_aside_of(tables: Tables, params: ReportParams) -> list[SetAside]:
    """What each stage set aside, for the stages that set anything aside."""
    found = [_set_aside(decision, tables, params) for decision in DECISIONS if decision.sets_aside in tables]
    return [part for part in found if part.rows]


def _set_aside(decision: Decision, tables: Tables, params: ReportParams) -> SetAside:
    table = tables[decision.sets_aside].with_row_index(ROW)
    chosen = fetch(
        table.group_by("reason").agg(rows=pl.len(), first=pl.col(ROW).bottom_k(params.examples_per_reason))
    ).sort(["rows", "reason"], descending=[True, False])
    wanted = sorted(row for rows in chosen["first"] for row in rows)
    quotes = _quotes(table.filter(pl.col(ROW).is_in(wanted)), decision, tables, params.excerpt_chars)
    total = int(chosen["rows"].sum())
    reasons = [
        Reason(name, rows, rows / total, [quotes[row] for row in sorted(first)])
        for name, rows, first in chosen.select("reason", "rows", "first").rows()
    ]
    return SetAside(decision.stage, decision.sets_aside, total, reasons)


def _quotes(rows: pl.LazyFrame, decision: Decision, tables: Tables, chars: int) -> dict[int, Quote]:
    evidence = _evidence(decision)
    told = fetch(rows.select(ROW, *_quoted(decision.sets_aside, evidence, chars))).to_dicts()
    survivors = _survivors([row["survivor_id"] for row in told if row.get("survivor_id")], tables, chars)
    return {row[ROW]: _quote(row, evidence, survivors.get(row.get("survivor_id", ""))) for row in told}


def _survivors(ids: Sequence[str], tables: Tables, chars: int) -> dict[str, Quote]:
    if not ids or "unique" not in tables:
        return {}
    rows = tables["unique"].filter(pl.col("row_id").is_in(sorted(set(ids))))
    found = fetch(rows.select(_quoted("unique", [], chars))).to_dicts()
    return {row["row_id"]: _quote(row, []) for row in found}


def _evidence(decision: Decision) -> list[str]:
    """What a stage added to the rows that it set aside, and what the signals it judged them by caught word for word."""
    if decision.sets_aside == "quarantined":
        return ["byte_offset", "field", "found", "expected", "fix"]
    measured = {column.name for column in load_schema("scored").columns if column.type != "string"}
    known = set(load_schema(decision.reads[0]).dtypes) | measured | {"reason"}
    return [name for name in load_schema(decision.sets_aside).dtypes if name not in known]


def _quoted(dataset: str, evidence: Sequence[str], chars: int) -> list[str | pl.Expr]:
    """The columns of a quote: where the row came from, what was found, and the beginnings of its texts."""
    columns = load_schema(dataset).dtypes
    told = [name for name in ("row_id", "source", "file", "record") if name in columns]
    texts = {"prompt": prompt_text(), "response": response_text()} if "messages" in columns else {}
    begun = [text.str.head(chars).alias(name) for name, text in texts.items()]
    lengths = [text.str.len_chars().alias(f"{name}_length") for name, text in texts.items()]
    return [*told, *evidence, *begun, *lengths]


def _quote(row: Mapping[str, Any], evidence: Sequence[str], survivor: Quote | None = None) -> Quote:
    record = "" if row["record"] is None else f" record {row['record']:,}"
    place = " · ".join(part for part in (row["source"], row["file"]) if part) + record
    shown = [name for name in evidence if row[name] is not None and not (survivor and name == "survivor_id")]
    facts = [(name, row[name]) for name in shown]
    return Quote(place, row.get("row_id"), facts, _excerpt(row, "prompt"), _excerpt(row, "response"), survivor)


def _excerpt(row: Mapping[str, Any], name: str) -> Excerpt | None:
    """None for a row without such a text: a record that could not be read, the prompt of a document."""
    text = row.get(name)
    return Excerpt(text, row[f"{name}_length"]) if text or (text == "" and name == "response") else None
