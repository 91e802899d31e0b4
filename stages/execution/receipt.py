"""The receipt of one execution: what it read, what it made, why rows were set aside, and what it cost."""

import importlib.metadata
import platform
import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from stages.execution.inputs import Input
from stages.processes.memory import lifetime_peak_bytes
from stages.raw_files.source_files import stated_root
from stages.store.identity import ROOT
from stages.store.storage import Manifest, setting
from stages.store.tables import read_table

RECORDED_VERSIONS = (
    "polars",
    "pyarrow",
    "numpy",
    "tokenizers",
    "transformers",
    "torch",
    "peft",
    "accelerate",
    "mlflow",
)


class Meter:
    """Seconds, CPU seconds and peak memory since it was made, worker processes included."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.monotonic(), _cpu_seconds()

    def read(self) -> dict[str, float | int]:
        of_workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # ru_maxrss counts KiB on Linux
        return {
            "seconds": round(time.monotonic() - self.wall, 3),
            "cpu_seconds": round(_cpu_seconds() - self.cpu, 3),
            "peak_memory_bytes": max(lifetime_peak_bytes(), of_workers),  # of the largest process
        }


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def write_down(
    parts: Mapping[str, Any],
    key: str,
    inputs: Mapping[str, Input],
    outputs: Mapping[str, tuple[Path, Manifest]],
    facts: Mapping[str, Any],
    cost: Mapping[str, float | int],
) -> dict[str, Any]:
    """The receipt as JSON; `key_parts` lets `explain` say what changed."""
    return {
        "stage": parts["stage"],
        "key": key,
        "key_parts": dict(parts),
        "inputs": {
            name: {"digest": i.digest, "rows": i.rows, "paths": [stated_root(path) for path in i.paths]}
            for name, i in inputs.items()
        },
        "outputs": {
            name: {"digest": m.digest, "rows": m.rows, "bytes": sum(f.bytes for f in m.files)}
            for name, (_, m) in outputs.items()
        },
        "reasons": {name: reasons for name, (folder, m) in outputs.items() if (reasons := count_reasons(folder, m))},
        "facts": dict(facts),
        "cost": dict(cost),
        "versions": versions(),
        "git_commit": git_commit(),
        "image_digest": setting("IMAGE_DIGEST", "") or None,
    }


def count_reasons(folder: Path, manifest: Manifest) -> dict[str, int]:
    """Rows per reason of a dataset of set-aside rows; empty for any other dataset."""
    if manifest.kind != "table" or "reason" not in (table := read_table(folder)).collect_schema():
        return {}
    return dict(table.group_by("reason").agg(pl.len()).sort("reason").collect().rows())


def most_frequent_first(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Reasons with their counts, as people want to read them."""
    return sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in RECORDED_VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the running code, or None outside a checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return setting("GIT_COMMIT", "") or None
