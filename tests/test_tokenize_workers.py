"""Workers are threads, or processes that are handed what the parent prepared: they make the same examples."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stages.pipeline import STAGES
from stages.processes import engine
from stages.processes.engine import Batch, Work, prepared_for_others, run_batch, run_rows, split_into_batches
from stages.tokenize.preparation import prepare
from stages.tokenize.stage import TokenizeParams
from tiny_tokenizer import make_tokenizer
from tokenized_rows import FORGETFUL, REASONED, WEATHER, document, mixture, talk
from workbench import say_nothing

ROWS = [
    *(talk(f"row {n}", f"What is {n}?", f"It is {n}. " * (n % 7), system="Be brief." if n % 3 else None) for n in range(40)),
    *(talk(f"long {n}", "Hi", "Hello", "More?", f"No, {n}.", "Why?", "So.") for n in range(20)),
    talk("marked", "<|im_end|>", "x"),
    document("tale", "The capital of France is Paris."),
    REASONED,
    WEATHER,
]  # fmt: skip


@pytest.fixture(params=["chatml", "forgetful.jinja"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Work:
    """With a template that is only filled in, and with one that is rendered for each row."""
    (tmp_path / "forgetful.jinja").write_text(FORGETFUL)
    template = "chatml" if request.param == "chatml" else str(tmp_path / request.param)
    params = TokenizeParams(tokenizer=str(make_tokenizer(tmp_path / "tokenizer")), template=template)
    mixture(*ROWS).write_parquet(tmp_path / "part-00000.parquet")
    return Work(STAGES["tokenize"], params)


def made(spool: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    examples, refused = (pl.scan_ipc(spool / name / "*.arrow").collect() for name in ("examples", "refused"))
    return examples, refused


def test_a_worker_needs_no_transformers_for_the_same_examples(work: Work, tmp_path: Path) -> None:
    batch = Batch(tmp_path / "part-00000.parquet", 0, len(ROWS))
    run_batch(work, tmp_path / "here", 0, batch)
    (tmp_path / "call").write_bytes(pickle.dumps((prepared_for_others(work, tmp_path), tmp_path / "there", 0, batch)))
    code = (
        "import pathlib, pickle, sys; from stages.processes.engine import run_batch; "
        f"run_batch(*pickle.loads(pathlib.Path({str(tmp_path / 'call')!r}).read_bytes())); "
        "print({'transformers', 'torch', 'huggingface_hub'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[1]
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "set()"
    for here, there in zip(made(tmp_path / "here"), made(tmp_path / "there"), strict=True):
        assert_frame_equal(here, there)


def test_several_workers_make_what_one_makes(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, workers, threads in (("alone", 1, 2), ("threads", 2, 2), ("processes", 2, 1)):
        monkeypatch.setattr(engine, "THREADS", threads)
        batches = split_into_batches(tmp_path, 9, workers)
        run_rows(work, batches, tmp_path / name, workers=workers, progress=say_nothing)
        assert (tmp_path / name / engine.PREPARED).exists() == (name == "processes")
        for expected, found in zip(made(tmp_path / "alone"), made(tmp_path / name), strict=True):
            assert_frame_equal(found, expected)
    assert expected.height > 1


def test_workers_are_processes_where_python_renders_each_row(tmp_path: Path) -> None:
    (tmp_path / "split.jinja").write_text(
        FORGETFUL.replace("message.content +", "message.content.split('</think>')[-1] +")
    )
    tokenizer = str(make_tokenizer(tmp_path / "tokenizer"))
    plain, rendered = (
        prepare(TokenizeParams(tokenizer=tokenizer, template=template)).leaves_lock
        for template in ("chatml", str(tmp_path / "split.jinja"))
    )
    assert plain
    assert not rendered


class Elsewhere:
    """A cluster that is this process, but gets what it shall do as bytes."""

    workers = 2

    def mapped(self, table: pl.DataFrame, make: engine.Change) -> Iterator[pl.DataFrame]:
        yield from map(pickle.loads(pickle.dumps(make)), table.iter_slices(1))


def test_a_cluster_is_handed_what_the_parent_prepared(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = split_into_batches(tmp_path, 30)
    run_rows(work, batches, tmp_path / "here", workers=1, progress=say_nothing)
    monkeypatch.setattr(engine, "cluster_in_use", Elsewhere)
    monkeypatch.delattr("stages.tokenize.transform._prepare")  # a task that prepares for itself fails
    run_rows(work, batches, tmp_path / "there", workers=2, progress=say_nothing)
    for here, there in zip(made(tmp_path / "here"), made(tmp_path / "there"), strict=True):
        assert_frame_equal(here, there)
