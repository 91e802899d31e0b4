"""A few rows of each class of a difference, quoted: the same few whenever the data are the same."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from stages.comparisons.data_diff import Difference, Moves
from stages.comparisons.snapshots import SET_ASIDE, Snapshot
from stages.pages.formats import quoted
from stages.pages.marks import Marked, begin, mark_differences
from stages.pages.quotes import TEXTS, Quote, beginnings, fetch_quoted

CLASSES_SHOWN = 40  # of reasons in one direction: a page stays small however many there are
FACTS = ("value", "threshold", "survivor_id", "similarity", "eval_file", "eval_item", "overlap", "evidence", "detail")

Row = dict[str, Any]


class QuotedClass(NamedTuple):
    """Rows that went or came for one reason, from any source; or that changed."""

    direction: str  # out | in | changed
    reason: str
    rows: int
    quotes: list[Quote]


def quoted_classes(difference: Difference, examples: int, chars: int) -> list[QuotedClass]:
    """Up to `examples` rows of every class, by row id, which is as good as at random."""
    before, after = difference.before, difference.after
    changed = _changed(difference, examples, chars)
    return [
        *([QuotedClass("changed", "another text at the same place", difference.changed.height, changed)] if changed else []),
        *_classes("out", difference.out, before, after, (examples, chars)),
        *_classes("in", difference.came, after, before, (examples, chars)),
    ]  # fmt: skip


def _classes(
    direction: str, moves: Moves, here: Snapshot, there: Snapshot, shown: tuple[int, int]
) -> list[QuotedClass]:
    """`here` holds the rows, `there` the reasons why it does not."""
    examples, chars = shown
    by_reason = moves.rows.group_by("reason").agg(rows=pl.len(), first=pl.col("row_id").bottom_k(max(examples, 1)))
    classes = by_reason.sort(["rows", "reason"], descending=[True, False]).head(CLASSES_SHOWN).rows()
    wanted = [row_id for _, _, first in classes for row_id in first[:examples]]
    texts, facts = _texts(here, wanted), _facts(there, wanted)
    return [
        QuotedClass(direction, reason, rows, [
            _quote(texts[row_id], {name: begin(text, chars, texts[row_id][f"{name}_length"]) for name in TEXTS
                                   if (text := texts[row_id][name])}, facts.get(row_id, []))
            for row_id in sorted(first)[:examples]
        ])
        for reason, rows, first in classes
    ]  # fmt: skip


def _changed(difference: Difference, examples: int, chars: int) -> list[Quote]:
    pairs = difference.changed.head(examples).select("row_id", "row_id_after").rows()
    old = _texts(difference.before, [row_id for row_id, _ in pairs])
    new = _texts(difference.after, [row_id for _, row_id in pairs])
    found = []
    for first, second in pairs:
        marked = {name: mark_differences(old[first][name] or "", new[second][name] or "", chars) for name in TEXTS}
        now = _quote(new[second], {name: pair[1] for name, pair in marked.items() if new[second][name]}, [])
        found.append(_quote(old[first], {n: pair[0] for n, pair in marked.items() if old[first][n]}, [], now))
    return found


def _texts(snapshot: Snapshot, ids: Sequence[str]) -> dict[str, Row]:
    """Where rows stand and what they say, by row id."""
    if not ids:
        return {}
    rows = snapshot.rows.filter(pl.col("row_id").is_in(list(ids)))
    return {
        row["row_id"]: row for row in fetch_quoted(rows.select("row_id", "source", "file", "record", *beginnings()))
    }


def _facts(snapshot: Snapshot, ids: Sequence[str]) -> dict[str, list[tuple[str, object]]]:
    """What the tables of set-aside rows tell beside the reason, by row id."""
    found: dict[str, list[tuple[str, object]]] = {}
    for name in SET_ASIDE:
        table = snapshot.table(name)
        columns = table.collect_schema().names() if table is not None else []
        if table is None or "row_id" not in columns:
            continue
        told = [column for column in FACTS if column in columns]
        rows = fetch_quoted(table.filter(pl.col("row_id").is_in(list(ids))).select("row_id", *told))
        found |= {row["row_id"]: [(column, row[column]) for column in told if row[column] is not None] for row in rows}
    return found


def _quote(row: Row, texts: dict[str, Marked], facts: list[tuple[str, object]], beside: Quote | None = None) -> Quote:
    place = " · ".join(part for part in (row["source"], row["file"]) if part)
    record = "" if row["record"] is None else f" record {row['record']:,}"
    return Quote(place + record, row["row_id"], facts, texts.get("prompt"), texts.get("response"), beside)


def plain(text: Marked) -> str:
    """A quoted text on one line, marked words in brackets, for a terminal."""
    parts = [
        f" … {p.skipped_chars:,} characters … " if p.skipped_chars else f"[{p.text}]" if p.marked else p.text
        for p in text.pieces
    ]
    more = f" … {text.more_chars:,} more characters" if text.more_chars else ""
    return quoted(" ".join("".join(parts).split())) + more
