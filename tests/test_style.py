"""The promises about size and form that a reader can check."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 40
MAX_README_LINES = 132  # 150 in all, with the fourteen stages in its table


def modules() -> list[Path]:
    return [path for folder in ("stages", "dags", "infra", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_module_is_longer_than_three_hundred_lines() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): n
        for path in modules()
        if (n := len(path.read_text().splitlines())) > MAX_MODULE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_forty_lines() -> None:
    long = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES:
                long[f"{path.relative_to(ROOT)}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert long == {}


def test_the_readme_is_short() -> None:
    """What people wrote of it: the table of stages grows by itself when somebody adds one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    written = re.sub(r"<!-- generated: (\w+) -->\n.*?<!-- end: \1 -->\n", "", text, flags=re.DOTALL)
    assert len(written.splitlines()) <= MAX_README_LINES


def test_every_make_target_says_what_it_does() -> None:
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in told.splitlines()} == set(phony.split()[1:])


def test_one_worker_runs_all_tests_of_a_file(request: pytest.FixtureRequest) -> None:
    """What makes the suite quick. A pytest that pytest-xdist does not know yet would send each to whoever is free."""
    if request.config.getoption("loadgroup", default=False):  # as `make test` runs it
        assert request.node.nodeid.endswith("@test_style-fast")
