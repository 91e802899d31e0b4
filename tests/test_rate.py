"""Given scored rows -> the same rows with a column per rating; which models are asked is a matter of the parameters."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from rows import conversation, sealed
from stages.execution.request import Request
from stages.execution.runner import run_stage
from stages.execution.runs import start_run
from stages.pipeline import CURATE, STAGES
from stages.schema import load_schema
from stages.store.storage import LocalStore

SIGNALS = {
    column.name: 0 for column in load_schema("scored").columns if not column.may_be_missing and column.type != "string"
}
RATINGS = [column.name for column in load_schema("rated").columns[len(load_schema("scored").columns) :]]


def scored(folder: Path, *conversations: tuple[str, ...]) -> Path:
    rows = [SIGNALS | conversation(str(number), *turns) for number, turns in enumerate(conversations)]
    return sealed(folder / "scored", "scored", [row | {"record": n} for n, row in enumerate(rows)])


def request(inputs: dict[str, Path], output: Path, **params: Any) -> Request:
    stage = STAGES["rate"]
    given = {name: [path] for name, path in inputs.items()}
    return Request(stage, stage.params(**params), given, "", output=output, progress_form="off")


def test_by_default_the_rows_pass_through_and_every_rating_is_null(tmp_path: Path) -> None:
    given = scored(tmp_path, ("Ask", "Say"), ("Ask again", "Say again"))
    made = run_stage(request({"scored": given}, tmp_path / "out")).folder / "rated"
    rated = pl.read_parquet(made / "*.parquet")
    assert rated.drop(RATINGS).equals(pl.read_parquet(given / "*.parquet"))
    assert rated.select(RATINGS).null_count().row(0) == (2,) * len(RATINGS)


def test_a_base_that_is_not_asked_is_neither_opened_nor_part_of_the_key(tmp_path: Path) -> None:
    given = scored(tmp_path, ("Ask", "Say"))
    without = run_stage(request({"scored": given}, tmp_path / "without"))
    named = run_stage(request({"scored": given, "base": tmp_path / "nowhere"}, tmp_path / "with"))
    assert named.receipt["key"] == without.receipt["key"]
    assert set(named.receipt["inputs"]) == {"scored"}


def test_curation_that_asks_no_model_needs_none(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    sources = {"raw": [str(tmp_path / "raw")], "base": [str(tmp_path / "nowhere")]}
    assert set(
        start_run(
            CURATE, LocalStore(tmp_path / "store"), overrides={"tokenize": {"tokenizer": "gpt2"}}, sources=sources
        ).sources
    ) == {"raw"}


def test_no_model_library_is_loaded_where_no_model_is_asked() -> None:
    code = "import sys, stages.rate.job; print(sorted({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert done.stdout.strip() == "[]"
