"""A crash changes nothing: kill -9 any stage at random moments, run it again, and the bytes are the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from line import ROOT, FinishedLine
from rows import dataset_digests
from stages.pipeline import STAGES
from stages.store.storage import verify_dataset

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
SOURCES = {"raw": "raw", "evals": "evals", "base": "base"}


def test_at_least_fifty_moments_are_tried() -> None:
    assert sum(KILLS.values()) >= 50


def command_of(stage: str, line: FinishedLine, output: Path) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "stages",
        "run",
        stage,
        "--output",
        str(output),
        "--profile",
        str(line.profile),
        "--progress",
        "off",
    ]
    for name in (*STAGES[stage].inputs, *STAGES[stage].optional_inputs):
        path = line.folder / SOURCES[name] if name in SOURCES else line.dataset(name)
        command += ["--input", f"{name}={path}"]
    return command


def kill_after(command: list[str], seconds: float) -> bool:
    """Starts `command`, kills it and its workers after `seconds`; says whether it was still running."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def assert_whole_or_absent(output: Path) -> None:
    if output.exists():
        assert (output / "receipt.json").exists(), "a result without a receipt is visible"
        for manifest in output.glob("*/manifest.json"):
            verify_dataset(manifest.parent)


@pytest.mark.parametrize("stage", sorted(KILLS))
def test_a_killed_stage_runs_again_to_the_same_bytes(stage: str, line: FinishedLine, tmp_path: Path) -> None:
    undisturbed = command_of(stage, line, tmp_path / "undisturbed")
    started = time.monotonic()
    subprocess.run(undisturbed, cwd=ROOT, check=True, capture_output=True)
    full = time.monotonic() - started
    random, output = Random(stage), tmp_path / "killed"
    for _ in range(KILLS[stage]):
        kill_after(command_of(stage, line, output), random.uniform(0.3, 1.0) * full)
        assert_whole_or_absent(output)
    subprocess.run(command_of(stage, line, output), cwd=ROOT, check=True, capture_output=True)
    assert dataset_digests(output) == dataset_digests(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "undisturbed"], "rubbish is left"
