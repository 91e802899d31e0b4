"""Replaces private data in kept rows by placeholders, and writes down on each row what was replaced.

Texts of all turns change, and `repairs`; ids, signals and everything else stay what they were of the row as it came.
"""

from typing import Any

import polars as pl

from stages.filter.stage import FilterParams
from stages.texts.private_data import mask, mask_json

POLICY_OF = {
    "email": "emails", "phone": "phones", "ip": "ip_addresses", "card": "cards", "iban": "ibans", "secret": "secrets",
    "password": "passwords",
}  # fmt: skip


def masked(rows: pl.DataFrame, params: FilterParams) -> pl.DataFrame:
    """`rows` with every finding of a kind whose policy is `mask` replaced; only rows that have one are opened."""
    wanted = rows.select(_is_masked(kind, params).alias(kind) for kind in POLICY_OF)
    touched = wanted.select(pl.any_horizontal(pl.all())).to_series()
    if not touched.any():
        return rows
    kinds = [[kind for kind, on in flags.items() if on] for flags in wanted.filter(touched).to_dicts()]
    opened = rows.select("messages", "repairs").filter(touched).to_dicts()
    changed = [_masked_row(row, of_row) for row, of_row in zip(opened, kinds, strict=True)]
    made = pl.DataFrame(changed, schema=rows.select("messages", "repairs").schema, orient="row")
    places = touched.arg_true().to_frame("place")
    numbered = rows.with_row_index("place").join(made.hstack(places), on="place", how="left", suffix="_masked")
    return numbered.select(
        pl.when(pl.col("messages_masked").is_null()).then(column).otherwise(f"{column}_masked").alias(column)
        if column in ("messages", "repairs")
        else column
        for column in rows.columns
    )


def _is_masked(kind: str, params: FilterParams) -> pl.Expr:
    """Whether a row has such data and its task type's policy is to mask it."""
    policy = pl.lit(getattr(params, POLICY_OF[kind]) == "mask")
    for task in params.by_task:
        own = pl.lit(getattr(params.for_task(task), POLICY_OF[kind]) == "mask")
        policy = pl.when(pl.col("task_type").eq_missing(pl.lit(task))).then(own).otherwise(policy)
    return policy & (pl.col(f"{kind}_count").fill_null(0) > 0)


def _masked_row(row: dict[str, Any], kinds: list[str]) -> tuple[list[dict[str, Any]], list[str] | None]:
    """The row's messages and repairs after masking; a kind that no text holds leaves no repair behind."""
    messages, repairs = row["messages"], list(row["repairs"] or [])
    for kind in kinds:
        after = [_masked_turn(kind, turn) for turn in messages]
        if after != messages:
            messages = after
            repairs.append(f"masked_{kind}")
    return messages, repairs or row["repairs"]


def _masked_turn(kind: str, turn: dict[str, Any]) -> dict[str, Any]:
    """What a tool is told and what it answers is still JSON afterwards, where it was."""
    in_json = {"tool_calls", "content"} if turn["role"] == "tool" else {"tool_calls"}
    return {
        name: text if name == "role" or text is None else (mask_json if name in in_json else mask)(kind, text)
        for name, text in turn.items()
    }
