"""Order of the suite (fast tier first), who runs what, and the one finished line that the slow tests look at."""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from line import FinishedLine, make_line
from stages.store.locks import lock

ROOT = Path(__file__).resolve().parent.parent
# No test reaches a hub or a network; what is missing must fail at once and not be fetched.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_WAIT_POLICY="PASSIVE")
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")  # how quick the machine is decides about no test


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups, and it comes first otherwise
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, then slow ones, then those with real servers, containers and browsers, the longest first.

    One worker runs all tests of a file and tier: what a module's fixtures make is made once. Those with servers and
    containers go to whoever is free, but for those that share what takes long to make.
    """
    items.sort(key=lambda item: (_minutes(item), item.get_closest_marker("slow") is not None))
    for item in items:
        if not item.get_closest_marker("e2e"):
            tier = "slow" if item.get_closest_marker("slow") else "fast"
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{tier}"))


def _minutes(item: pytest.Item) -> float:
    """Falls from test to test: what takes minutes and starts last would leave the other workers idle at the end."""
    marker = item.get_closest_marker("e2e")
    return -marker.kwargs.get("minutes", 0) if marker else -math.inf


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> FinishedLine:
    """Raw files to a registered model, once, by `python -m stages pipeline all` on a small made-up source.

    The first worker that asks makes it; the others wait. Nobody changes it, but for runs beside the one named line.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "line"
    with lock(folder):
        if not FinishedLine(folder).is_finished:
            shutil.rmtree(folder, ignore_errors=True)
            make_line(folder)
    return FinishedLine(folder)


def run_stages(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m stages …` as a user calls it."""
    command: Sequence[str] = [sys.executable, "-m", "stages", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
