import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from stages.store.identity import source_digests

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"polars", "pyarrow", "torch", "transformers", "mlflow", "numpy", "peft", "accelerate", "tokenizers", "pandas"}
LIGHT = (
    "stages.contract",
    "stages.pipeline",
    "stages.profile",
    "stages.errors",
    "stages.store.storage",
    "stages.describe",
)


@pytest.mark.parametrize("module", LIGHT)
def test_what_the_scheduler_imports_loads_no_heavy_library(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(name.split('.')[0] for name in sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert HEAVY & set(json.loads(loaded)) == set()


def test_laying_examples_out_loads_no_pandas() -> None:
    """`pyarrow.array` does when it is given numpy's, in each worker anew."""
    code = (
        "import sys, numpy; from stages.tokenize.example_table import _lists;"
        "made = _lists('x', numpy.array([3, 4], numpy.int32), numpy.array([0, 2]));"
        "print(made.to_list(), 'pandas' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[[], [3, 4]] False"


@pytest.mark.parametrize("stage", ["merge", "train"])
def test_a_job_loads_no_library_that_it_has_no_use_for(stage: str) -> None:
    """Transformers takes SciPy along where it is there, which costs 35 MiB."""
    code = f"import sys, stages.execution.runner, stages.{stage}.job; print({{'scipy', 'pyarrow', 'mlflow'}} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "set()"


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_no_stage_imports_another_stage() -> None:
    stages = {path.parent.name for path in (ROOT / "stages").glob("*/stage.py")}
    crossing = [(path.relative_to(ROOT).as_posix(), module) for stage in stages for path in (ROOT / "stages" / stage).rglob("*.py")
                for module in imports_of(path) if module.startswith("stages.")
                and module.split(".")[1] in stages - {stage}]  # fmt: skip
    assert crossing == []


def test_nothing_shared_imports_from_inside_a_stage() -> None:
    stages = {path.parent.name for path in (ROOT / "stages").glob("*/stage.py")}
    shared = [path for path in (ROOT / "stages").rglob("*.py") if path.parent.name not in stages]
    inner = [(path.relative_to(ROOT).as_posix(), module) for path in shared for module in imports_of(path)
             if module.startswith("stages.") and module.split(".")[1] in stages and not module.endswith(".stage")]  # fmt: skip
    assert inner == []


def test_no_folder_stands_on_one_that_stands_on_it() -> None:
    """So that each can be read from the ground up. Of stages the pipeline knows the declarations alone."""
    stands_on: dict[str, set[str]] = {}
    for path in (ROOT / "stages").rglob("*.py"):
        folder, *_ = path.relative_to(ROOT / "stages").with_suffix("").parts
        used = {
            module.split(".")[1]
            for module in imports_of(path)
            if module.startswith("stages.") and not module.endswith(".stage")
        }
        stands_on.setdefault(folder, set()).update(used - {folder})
    tuple(TopologicalSorter(stands_on).static_order())  # raises CycleError, which names the circle


def test_only_storage_decides_by_the_environment() -> None:
    readers = [path.name for path in (ROOT / "stages").rglob("*.py")
               if any(f"os.{word}" in path.read_text(encoding="utf-8") for word in ("getenv", "environ.get"))]  # fmt: skip
    assert set(readers) <= {"storage.py", "tracking.py", "launched.py"}, (
        "tracking.py sets and restores what MLflow reads, and decides nothing; launched.py hears from accelerate launch"
    )


def test_the_templates_of_shared_pages_belong_to_what_a_report_depends_on() -> None:
    assert {"stages/pages/page.css", "stages/pages/quotes.html.jinja"} <= set(source_digests("report"))
