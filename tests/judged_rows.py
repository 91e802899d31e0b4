"""Rows that a judge at a local address grades, and what came of it."""

from pathlib import Path
from typing import Any

import polars as pl

from rows import conversation, row_id, sealed
from stages.execution.request import Outcome, Request
from stages.execution.runner import run_stage
from stages.pipeline import STAGES
from stages.schema import load_schema

SIGNALS = {c.name: 0 for c in load_schema("scored").columns if not c.may_be_missing and c.type != "string"}
KEY = "sk-very-secret-42"
Rows = dict[str, tuple[str, ...]]
FOUR_ROWS: Rows = {name: (f"Question {name}?", f"Answer {name}.") for name in "abcd"}


def scored(folder: Path, rows: Rows) -> Path:
    if not folder.exists():
        sealed(folder, "scored", [SIGNALS | conversation(name, *turns) for name, turns in rows.items()])
    return folder


def judge(folder: Path, address: str, rows: Rows = FOUR_ROWS, out: str = "out", **params: Any) -> Outcome:
    stage = STAGES["rate"]
    stated = {"judge_model": "judge-1", "judge_endpoint": address, "judge_timeout_seconds": 30, "judge_retries": 2}
    inputs = {"scored": [scored(folder / "scored", rows)]}
    return run_stage(Request(stage, stage.params(**stated | params), inputs, "", output=folder / out,
                             progress_form="off", cache=folder / "cache"))  # fmt: skip


def grades(outcome: Outcome) -> dict[str, float | None]:
    rated = pl.read_parquet(outcome.folder / "rated" / "*.parquet")
    named = {row_id(name): name for name in "abcdefgh"}
    return {named[row]: score for row, score in rated.select("row_id", "judge_score").iter_rows()}


def told(outcome: Outcome) -> dict[str, int]:
    return dict(outcome.receipt["facts"]["judge"])
