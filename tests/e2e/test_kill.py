"""A crash changes nothing: kill -9 any stage at random moments, run it again, and the bytes are the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from line import ROOT, FinishedLine
from rows import dataset_digests
from stages.pipeline import STAGES

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

KILLS = {
    "ingest": 7,
    "dedup": 6,
    "score": 6,
    "rate": 3,
    "filter": 6,
    "decontaminate": 6,
    "mix": 6,
    "tokenize": 7,
    "train": 6,
    "merge": 3,
}
LONGEST = ("merge", "train")
SOURCES = {"raw": "raw", "evals": "evals", "base": "base"}


def test_at_least_fifty_moments_are_tried() -> None:
    assert sum(KILLS.values()) >= 50


def command_of(stage: str, line: FinishedLine) -> list[str]:
    command = ["run", stage, "--profile", str(line.profile), "--progress", "off"]
    for name in (*STAGES[stage].inputs, *STAGES[stage].optional_inputs):
        path = line.folder / SOURCES[name] if name in SOURCES else line.dataset(name)
        command += ["--input", f"{name}={path}"]
    return command


@pytest.mark.parametrize(
    "stage",
    [pytest.param(stage, marks=pytest.mark.e2e(minutes=1)) if stage in LONGEST else stage for stage in sorted(KILLS)],
)
def test_a_killed_stage_runs_again_to_the_same_bytes(stage: str, line: FinishedLine, tmp_path: Path) -> None:
    random, undisturbed, killed = Random(stage), tmp_path / "undisturbed", tmp_path / "killed"
    shares = [random.uniform(0.0, 1.0) for _ in range(KILLS[stage])]
    script = [sys.executable, ROOT / "tests" / "killed_stage.py", undisturbed, killed, json.dumps(shares)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*script, *command_of(stage, line)], cwd=ROOT, env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert dataset_digests(killed) == dataset_digests(undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "undisturbed"], "rubbish is left"
