"""Rows as they are quoted on a page or in a terminal: without the private data in them, as pages are handed around."""

from typing import Any, NamedTuple

import polars as pl

from stages.pages.marks import Marked
from stages.store.queries import fetch
from stages.texts.conversation_text import prompt_text, response_text
from stages.texts.private_data import mask_all

READ_CHARS = 20_000  # of a text, to find in it what is to be marked
TEXTS = ("prompt", "response")
NAMES = ("row_id", "survivor_id", "source", "file", "eval_file", "reason", "task_type")  # they tell which row it is


class Quote(NamedTuple):
    """One row: where it came from, what was found, what it says, and what it is to be compared with."""

    place: str
    row_id: str | None
    facts: list[tuple[str, object]]
    prompt: Marked | None
    response: Marked | None
    beside: "Quote | None" = None
    label: str = "Text"  # of a response without a prompt


def beginnings() -> list[pl.Expr]:
    """The beginning of each of TEXTS by its name, and the length of all of it as `<text>_length`."""
    texts = dict(zip(TEXTS, (prompt_text(), response_text()), strict=True))
    begun = [text.str.head(READ_CHARS).alias(name) for name, text in texts.items()]
    return [*begun, *(text.str.len_chars().cast(pl.Int64).alias(f"{name}_length") for name, text in texts.items())]


def fetch_quoted(rows: pl.LazyFrame) -> list[dict[str, Any]]:
    """The few rows of a query with a placeholder for each finding of private data, in everything but NAMES.

    `<text>_length` is then that of the masked text.
    """
    return [_masked(row) for row in fetch(rows).to_dicts()]


def _masked(row: dict[str, Any]) -> dict[str, Any]:
    shown = {
        name: mask_all(value) if isinstance(value, str) and name not in NAMES else value for name, value in row.items()
    }
    for text in TEXTS:
        if row.get(text) and f"{text}_length" in row:
            shown[f"{text}_length"] = row[f"{text}_length"] - len(row[text]) + len(shown[text])
    return shown
