"""Why rows were set aside, with a few of them quoted: the same few whenever the data are the same.

A row that repeats another stands beside the one that stays, one that holds an evaluation item beside that item.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from stages.measures.filter_rules import RULES
from stages.pages.marks import Marked, begin, mark_differences, mark_run
from stages.pages.quotes import TEXTS, Quote, beginnings, fetch_quoted
from stages.report.funnel import DECISIONS, Decision
from stages.report.stage import ReportParams
from stages.schema import load_schema
from stages.store.queries import Tables, fetch

ROW = "row"  # position in the table's key order
DOUBTFUL_FIRST = {"duplicates": "similarity", "contaminated": "overlap"}  # the least alike are looked at first
QUOTES_SHOWN = 600  # per table, so that a page with many reasons stays within a few megabytes
SHOWN_BY_MARKS = ("survivor_id", "own_words", "survivor_words")  # when both rows stand side by side
# Of all signals of a rejected row, those that its rule looked at.
RULE_COLUMNS = {rule.reason: rule.value.meta.root_names() for rule in RULES}
ITEM_TEXTS = ("eval_text", "item_text")  # the whole evaluation item, where decontaminate tells it


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
    order = DOUBTFUL_FIRST.get(decision.sets_aside, ROW)
    first = pl.col(ROW).sort_by(order, ROW).head(params.examples_per_reason)
    chosen = fetch(table.group_by("reason").agg(rows=pl.len(), first=first)).sort(
        ["rows", "reason"], descending=[True, False]
    )
    shown = max(1, QUOTES_SHOWN // max(chosen.height, 1))
    picked = {name: rows[:shown] for name, rows in chosen.select("reason", "first").rows()}
    wanted = sorted(row for rows in picked.values() for row in rows)
    quotes = _quotes(table.filter(pl.col(ROW).is_in(wanted)), decision, tables, params.excerpt_chars)
    total = int(chosen["rows"].sum())
    reasons = [
        Reason(name, rows, rows / total, [quotes[row] for row in picked[name]])
        for name, rows in chosen.select("reason", "rows").rows()
    ]
    return SetAside(decision.stage, decision.sets_aside, total, reasons)


def _quotes(rows: pl.LazyFrame, decision: Decision, tables: Tables, chars: int) -> dict[int, Quote]:
    given = set(rows.collect_schema().names())
    evidence = [name for name in _evidence(decision) if name in given]
    told = fetch_quoted(rows.select(ROW, "reason", *_quoted(decision.sets_aside, evidence)))
    survivors = _survivors([row["survivor_id"] for row in told if row.get("survivor_id")], tables)
    return {row[ROW]: _compared(row, evidence, survivors.get(row.get("survivor_id", "")), chars) for row in told}


def _survivors(ids: Sequence[str], tables: Tables) -> dict[str, dict[str, Any]]:
    if not ids or "unique" not in tables:
        return {}
    rows = tables["unique"].filter(pl.col("row_id").is_in(sorted(set(ids))))
    return {row["row_id"]: row for row in fetch_quoted(rows.select(_quoted("unique", [])))}


def _evidence(decision: Decision) -> list[str]:
    """What a stage added to the rows that it set aside, and what the signals it judged them by caught word for word."""
    if decision.sets_aside == "quarantined":
        return ["byte_offset", "field", "found", "expected", "fix"]
    measured = {column.name for column in load_schema("kept").columns if column.type != "string"}
    known = set(load_schema(decision.reads[0]).dtypes) | measured | {"reason"}
    return [name for name in load_schema(decision.sets_aside).dtypes if name not in known]


def _quoted(dataset: str, evidence: Sequence[str]) -> list[str | pl.Expr]:
    """The columns of a quote: where the row came from, what was found, and the beginnings of its texts."""
    columns = load_schema(dataset).dtypes
    told = [name for name in ("row_id", "source", "file", "record") if name in columns]
    return [*told, *evidence, *(beginnings() if "messages" in columns else ())]


def _compared(row: Mapping[str, Any], evidence: Sequence[str], survivor: Mapping[str, Any] | None, chars: int) -> Quote:
    """The quote of a row that was set aside."""
    if survivor is not None:
        pairs = {name: _marked_pair(row, survivor, name, chars) for name in TEXTS}
        stays = _quote(survivor, [], {name: pair[1] for name, pair in pairs.items()})
        told = [name for name in evidence if name not in SHOWN_BY_MARKS]
        return _quote(row, told, {name: pair[0] for name, pair in pairs.items()}, stays)
    if decided := RULE_COLUMNS.get(row["reason"]) if "threshold" in row else None:
        evidence = [name for name in evidence if name in (*decided, "task_type", "value", "threshold")]
    item = _evaluation_item(row, chars) if row.get("eval_file") else None
    told = [name for name in evidence if item is None or not name.startswith(("eval_", "evidence"))]
    return _quote(row, told, _excerpts(row, evidence, chars), item)


def _marked_pair(
    row: Mapping[str, Any], survivor: Mapping[str, Any], name: str, chars: int
) -> tuple[Marked | None, Marked | None]:
    """One text of both rows with the words marked in which they differ; None where a document has no prompt."""
    texts = [each.get(name) or "" for each in (row, survivor)]
    if not any(texts) and name == "prompt":
        return None, None
    marked = mark_differences(texts[0], texts[1], chars)
    unread = [(each.get(f"{name}_length") or 0) - len(text) for each, text in zip((row, survivor), texts, strict=True)]
    first, second = (
        side._replace(more_chars=side.more_chars + more) for side, more in zip(marked, unread, strict=True)
    )
    return first, second


def _evaluation_item(row: Mapping[str, Any], chars: int) -> Quote:
    """What the row was found to hold."""
    place = f"{row['eval_file']} item {row['eval_item']:,}"
    run = row["evidence"]
    text = next((row[name] for name in ITEM_TEXTS if row.get(name)), run)
    # The evidence of an item in other words is more than words of the row: then nothing is marked.
    is_in_row = any(mark_run(row.get(name) or "", run, chars) for name in TEXTS)
    told = (mark_run(text, run, chars) if is_in_row else None) or begin(text, chars)
    return Quote(place, None, [], None, told, label="Evidence" if text is run else "Item")


def _excerpts(row: Mapping[str, Any], evidence: Sequence[str], chars: int) -> dict[str, Marked | None]:
    """The texts of a row around the first evidence that stands in them word for word, or else their beginnings."""
    caught = [row[name] for name in evidence if isinstance(row[name], str)]
    found: dict[str, Marked | None] = {}
    for name in TEXTS:
        text = row.get(name)
        # A record that could not be read has no texts, a document has no prompt; an empty answer is one.
        if text or (text == "" and name == "response"):
            length = row[f"{name}_length"]
            marked = next(filter(None, (mark_run(text, run, chars) for run in caught)), None)
            more = length - len(text)
            found[name] = marked._replace(more_chars=marked.more_chars + more) if marked else begin(text, chars, length)
    return found


def _quote(
    row: Mapping[str, Any], evidence: Sequence[str], texts: Mapping[str, Marked | None], beside: Quote | None = None
) -> Quote:
    record = "" if row["record"] is None else f" record {row['record']:,}"
    place = " · ".join(part for part in (row["source"], row["file"]) if part) + record
    facts = [(name, row[name]) for name in evidence if row[name] is not None]
    return Quote(place, row.get("row_id"), facts, texts.get("prompt"), texts.get("response"), beside)
