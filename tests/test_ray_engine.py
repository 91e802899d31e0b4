"""The same stages under Ray: same bytes, same errors, a clear word where Ray or its cluster is missing."""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest

from conftest import ROOT, run_stages
from curated_run import filled
from dedup_rows import planted, random_text
from rows import conversation, dataset_digests, sealed
from stages.schema import load_schema
from stages.store.storage import write_manifest

ROWS = [
    *(
        conversation(f"row {i}", f"What is the number {i}?", f"The number {i} is like {i + 1} others.")
        for i in range(60)
    ),
    *planted(30, seed=5)[0],
    *(conversation(f"long {i}", random_text(7, 150), "Yes.", random_text(i, 150), "Then no.") for i in range(3)),
]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None,
                               reason="the package ray is not installed (containers/requirements/ray.in)")  # fmt: skip

TASKS = """
import json, os, sys
import polars as pl
from stages.processes.engine import RAY, cluster_in_use, using, worker_pool
from stages.errors import DataError
from operator import methodcaller

class Refuses:
    def go(self):
        raise DataError("row 7 breaks the contract")

def outcome(function, *arguments):
    try:
        with worker_pool(2, "a worker died") as pool:
            return pool.submit(function, *arguments).result()
    except Exception as error:
        return [type(error).__name__, str(error).splitlines()[0]]

def refuse(table):
    raise DataError(f"row {table['n'][0]} breaks the contract")

def data_outcome(make, n):
    try:
        return sum(table["n"].sum() for table in cluster_in_use().mapped(pl.DataFrame({"n": [n]}), make))
    except Exception as error:
        return [type(error).__name__, str(error).splitlines()[0]]

with using(RAY, workers=2), worker_pool(2, "a worker died") as pool:
    numbers = pl.DataFrame({"n": list(range(40))})
    halves = cluster_in_use().grouped(
        numbers, lambda row: row.select("n", half=pl.col("n") % 2), "half", lambda rows: rows.select("half", pl.col("n").sum()).unique()
    )
    print("told", json.dumps({
        "sums": sorted(row for table in halves for row in table.select("half", "n").rows()),
        "nothing": list(cluster_in_use().mapped(numbers.clear(), refuse)),
        "data_refused": data_outcome(refuse, 7),
        "data_died": data_outcome(lambda table: os._exit(3), 7),
        "data_after": data_outcome(lambda table: table, 7),
        "order": list(pool.map(abs, range(-9, 0))),
        "threads": pool.submit(os.getenv, "POLARS_MAX_THREADS").result(),
        "refused": outcome(methodcaller("go"), Refuses()),
        "died": outcome(os._exit, 3),
        "after": outcome(abs, -1),
    }))
"""


def in_two_parts(folder: Path, dataset: str) -> Path:
    """ROWS as a sealed dataset of two files, so that there is work for two workers whatever a stage splits."""
    rows = pl.read_parquet(sealed(folder / "whole", dataset, filled(dataset, ROWS)) / "*.parquet")
    (folder / dataset).mkdir()
    parts = {"part-00000.parquet": rows.head(50), "part-00001.parquet": rows.slice(50)}
    for name, part in parts.items():
        part.write_parquet(folder / dataset / name)
    schema = load_schema(dataset)
    write_manifest(folder / dataset, dataset, schema.kind, schema.digest, {n: part.height for n, part in parts.items()})
    return folder / dataset


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "dataset"), [("score", "unique"), ("dedup", "conversations")])
def test_a_stage_leaves_the_same_bytes_under_ray(tmp_path: Path, stage: str, dataset: str) -> None:
    given = in_two_parts(tmp_path, dataset)
    digests = []
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # a short name: sockets have room for 107 characters
        for engine in ("local", "ray"):
            output = tmp_path / engine
            done = run_stages("run", stage, "--input", f"{dataset}={given}", "--output", output, "--engine", engine,
                              "--workers", "2", "--batch-rows", "7", "--progress", "off", TMPDIR=folder)  # fmt: skip
            assert done.returncode == 0, done.stderr
            digests.append(dataset_digests(output))
        assert not list(Path(folder).iterdir()), "the cluster of this machine leaves nothing behind"
    assert digests[0] == digests[1]
    assert (
        json.loads((tmp_path / "ray/receipt.json").read_text())["key"]
        == json.loads((tmp_path / "local/receipt.json").read_text())["key"]
    )


@needs_ray
@pytest.mark.slow
def test_tasks_keep_their_order_and_errors_and_one_that_dies_breaks_the_pool() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TASKS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    found = re.search(r"^told (.*)$", done.stdout, re.MULTILINE)
    assert found is not None
    told = json.loads(found[1])
    assert told["sums"] == [[0, 380], [1, 400]]
    assert told["nothing"] == []
    assert told["data_refused"] == ["DataError", "row 7 breaks the contract"]
    assert told["data_died"][0] == "BrokenProcessPool"
    assert told["data_after"] == 7
    assert told["order"] == list(range(9, 0, -1))
    assert told["threads"] == "1"
    assert told["refused"] == ["DataError", "row 7 breaks the contract"]
    assert told["died"] == ["TryAgain", "a worker died"]
    assert told["after"] == 1


def score(tmp_path: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    unique = sealed(tmp_path / "unique", "unique", ROWS)
    arguments = ("run", "score", "--input", f"unique={unique}", "--output", str(tmp_path / "out"), "--progress", "off")
    return run_stages(*arguments, *options, **environment)


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "ray.py").write_text("raise ImportError('no ray here')")
    done = score(tmp_path, "--engine", "ray", PYTHONPATH=str(tmp_path / "absent"))
    assert done.returncode == 78
    assert "containers/requirements/ray.in" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    done = score(tmp_path, "--engine", "ray", TEMPER_RAY_ADDRESS="127.0.0.1:1")
    assert done.returncode == 69, done.stderr[-2000:]
    assert "TEMPER_RAY_ADDRESS" in done.stderr


def test_an_engine_nobody_knows_is_refused(tmp_path: Path) -> None:
    assert score(tmp_path, "--engine", "spark").returncode == 64
    done = run_stages(
        "run", "score", "--input", f"unique={tmp_path / 'unique'}", "--output", tmp_path / "out", TEMPER_ENGINE="spark"
    )
    assert done.returncode == 78
    assert "no engine 'spark'" in done.stderr
