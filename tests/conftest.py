"""Order of the suite (fast tier first), and the one finished line that the slow tests look at."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from line import FinishedLine, make_line

ROOT = Path(__file__).resolve().parent.parent
# No test reaches a hub or a network; what is missing must fail at once and not be fetched.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_WAIT_POLICY="PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, then slow ones, then those with real servers, containers and browsers."""
    items.sort(
        key=lambda item: (item.get_closest_marker("e2e") is not None, item.get_closest_marker("slow") is not None)
    )


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> FinishedLine:
    """Raw files to a registered model, once, by `python -m stages pipeline all` on a small made-up source."""
    return make_line(tmp_path_factory.mktemp("line"))


def run_stages(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m stages …` as a user calls it."""
    command: Sequence[str] = [sys.executable, "-m", "stages", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
