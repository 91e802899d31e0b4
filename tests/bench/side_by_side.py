"""What benchmarks share: a contender as a process of its own on chosen cores, its memory, its environment, its table."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SAMPLE_EVERY_SECONDS = 0.5
Found = dict[str, Any]


def run_alone(command: Sequence[str | Path], *, cores: int, environment: Mapping[str, str] | None = None) -> Found:
    """What the command prints as JSON in its last line, with `peak_mib` and `cpu_seconds` of its processes together.

    `peak_mib` counts a page that processes share once (PSS, looked at twice a second); of one process it is exact.
    `failed` says why where the command did not end well.
    """
    threads = {f"{name}_NUM_THREADS": str(cores) for name in ("OMP", "MKL", "RAYON")} | {
        "POLARS_MAX_THREADS": str(cores)
    }
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as log,
    ):
        told = os.environ | threads | {"TMPDIR": scratch} | dict(environment or {})
        process = subprocess.Popen([*map(str, command)], stdout=out, stderr=log, env=told, cwd=ROOT)
        os.sched_setaffinity(process.pid, set(sorted(os.sched_getaffinity(0))[:cores]))
        peak = 0.0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, _tree_mib(process.pid))
            time.sleep(SAMPLE_EVERY_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        out.seek(0), log.seek(0)
        if process.returncode:
            return {"failed": ([f"exit code {process.returncode}", *log.read().strip().splitlines()])[-1][:160]}
        usage = ended[2]
        found: Found = json.loads(out.read().strip().splitlines()[-1])
    return found | {"peak_mib": max(peak, usage.ru_maxrss / 1024), "all_cpu_seconds": usage.ru_utime + usage.ru_stime}


def medians(runs: Sequence[Found]) -> Found:
    """Of runs of one contender: the median of each number; other values as the last run gave them."""
    if failed := [run for run in runs if "failed" in run]:
        return failed[0]
    numbers = {name for name, value in runs[-1].items() if isinstance(value, int | float)}
    return runs[-1] | {name: statistics.median(run[name] for run in runs) for name in numbers}


def environment_of(peer: str, folder: Path) -> str:
    """The interpreter of a peer's own environment, made with its pinned requirements when it is not there."""
    python = folder / "environments" / peer / "bin" / "python"
    if not python.exists():
        pinned = HERE / "requirements" / f"{peer}.txt"
        wheels = [
            option for place in os.environ.get("PIP_FIND_LINKS", "").split() for option in ("--find-links", place)
        ]
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, python.parents[1]], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", python, *wheels, "-r", pinned]
        subprocess.run(install, check=True)
    return str(python.absolute())


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def load_of_machine() -> str:
    return f"load of this machine when it was over: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _tree_mib(root: int) -> float:
    return sum(map(_pss_mib, [root, *_descendants(root)]))


def _descendants(process: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [found for child in children for found in (child, *_descendants(child))]


def _pss_mib(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
