"""Adding a stage takes stage.py, transform.py, a schema and one line: done here in a copy of the project."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from line import ROOT
from rows import conversation, write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.e2e(minutes=1), pytest.mark.xdist_group("add_stage")]

STAGE = """
from stages.contract import Params, Stage, setting


class ShortenParams(Params):
    max_turns: int = setting(4, "Turns that a conversation may have", unit="turns", ge=1)


STAGE = Stage(
    name="shorten", purpose="Sets aside conversations with many turns", kind="rows", inputs=("kept",),
    outputs=("short", "long"), keeps="short", sets_aside="long", params=ShortenParams, image="data",
)
"""

TRANSFORM = '''
from typing import NamedTuple

import polars as pl

from stages.shorten.stage import ShortenParams


class Shortened(NamedTuple):
    short: pl.DataFrame
    long: pl.DataFrame


def transform(kept: pl.DataFrame, *, params: ShortenParams) -> Shortened:
    """Conversations of at most `max_turns`, and the others."""
    is_short = pl.col("messages").list.len() <= params.max_turns
    return Shortened(kept.filter(is_short), kept.filter(~is_short).with_columns(reason=pl.lit("too_many_turns")))
'''

SHORT = "title: Conversations of few turns\nkind: table\ngrain: one row per conversation\nextends: kept\n"
LONG = """title: Conversations of many turns, set aside
kind: table
grain: one row per conversation
extends: kept
columns:
  reason: {type: string}
"""

SIGNALS: dict[str, Any] = {
    "response_chars": 5,
    "response_words": 1,
    "repeated_trigram_share": 0.0,
    "symbol_share": 0.0,
    "digit_share": 0.0,
    "url_count": 0,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the stage `shorten` between filter and decontaminate."""
    copy = tmp_path_factory.mktemp("project")
    for folder in ("stages", "schemas", "dags", "containers", "tests", "infra"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(ROOT / file, copy / file)
    folder = copy / "stages" / "shorten"
    folder.mkdir()
    for name, text in (("__init__.py", ""), ("stage.py", STAGE), ("transform.py", TRANSFORM)):
        (folder / name).write_text(text)
    (copy / "schemas" / "short.yaml").write_text(SHORT)
    (copy / "schemas" / "long.yaml").write_text(LONG)
    for name, turns, columns in (("short", 1, {}), ("long", 3, {"reason": "too_many_turns"})):
        examples = copy / "schemas" / "examples" / name
        examples.mkdir()
        write_jsonl(examples / "pass_one.jsonl", [conversation("a", *["q", "a"] * turns, **SIGNALS, **columns)])
    pipeline = copy / "stages" / "pipeline.py"
    text = pipeline.read_text().replace(
        "from stages.tokenize.stage", "from stages.shorten.stage import STAGE as SHORTEN\nfrom stages.tokenize.stage"
    )
    pipeline.write_text(text.replace("    FILTER,\n", "    FILTER,\n    SHORTEN,\n"))
    return copy


def run(project: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_has_it(project: Path) -> None:
    assert "shorten        rows   data   Sets aside conversations with many turns" in run(
        project, "-m", "stages", "list"
    )
    assert "Turns that a conversation may have (default 4; ≥ 1; turns)" in run(
        project, "-m", "stages", "run", "shorten", "--help"
    )


def test_the_readme_and_the_pages_have_it(project: Path) -> None:
    run(project, "-m", "stages", "docs")
    assert (
        "| `shorten` | Sets aside conversations with many turns | kept | short, long |"
        in (project / "README.md").read_text()
    )
    assert "## shorten" in (project / "stages" / "README.md").read_text()


def test_it_runs_alone(project: Path, tmp_path: Path) -> None:
    rows = [conversation("a", "q", "a", **SIGNALS), conversation("b", *["q", "a"] * 3, **SIGNALS)]
    told = run(project, "-m", "stages", "run", "shorten", "--input", f"kept={write_jsonl(tmp_path / 'kept.jsonl', rows)}",
               "--output", str(tmp_path / "out"))  # fmt: skip
    assert "short 1 rows, long 1 rows" in told
    assert "long: too_many_turns 1" in told


def test_the_generic_tests_find_it_and_no_other_test_minds_it(project: Path) -> None:
    run(project, "-m", "stages", "docs")
    chosen = ["tests/test_stage_properties.py", "tests/test_contract.py", "tests/test_schema.py", "tests/test_style.py"]
    by_name = "shorten or short or long or test_contract or readme"
    told = run(project, "-m", "pytest", "-v", "-p", "no:cacheprovider", *chosen, "-k", by_name)
    assert told.count("[shorten] PASSED") == 3 + 4  # generic properties, and the contract's tests of each stage
    assert "test_the_passing_examples_pass[short] PASSED" in told


def test_the_dag_has_it(project: Path) -> None:
    python = ROOT / ".venv-airflow" / "bin" / "python"
    if not python.exists():
        pytest.skip("needs the orchestrator's environment: make setup")
    code = "import curate; print(sorted(t.task_id for t in curate.dag.tasks if 'filter' in t.upstream_task_ids))"
    done = subprocess.run([python, "-c", code], cwd=project / "dags", capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": f"{project}:{project / 'dags'}", "AIRFLOW_HOME": str(project / "airflow"), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["['decontaminate', 'shorten']"], done.stderr  # both read `kept`
