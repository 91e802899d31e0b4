"""Seconds, rows per second and peak memory of each curation stage on one source, from a fresh store.

    .venv/bin/python tests/bench/curation.py --source <raw file or folder> --tokenizer <folder> [--template chatml]
        [--added <raw file>]

`--source` is a folder where a file is to be added: then a column says what each stage costs when that file came later.
Prints a Markdown table made from the stages' own receipts, the time of a second run that finds everything done, and
the rate at which a schema is checked. Every stage runs as its own process, so its memory is its own.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.pipeline import CURATE  # noqa: E402 - the script runs from anywhere
from stages.schema import check_table, load_schema  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, nargs="+")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--template", default="chatml")
    parser.add_argument("--added", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        if asked.added:  # a copy, so that the folder that was given stays as it is
            asked.source = [shutil.copytree(asked.source[0], Path(folder) / "raw")]
        first, second = (run_pipeline(asked, store) for _ in range(2))
        if asked.added:
            shutil.copy(asked.added, asked.source[0])
            run_pipeline(asked, store)
        print_table(store)
        print(f"\nwhole pipeline: {first:.1f} s; again, everything found and verified: {second:.1f} s")
        scored = pl.read_parquet(next(store.glob("results/score/*/scored")) / "*.parquet")
        print(f"schema check of `scored`: {check_rate(scored):,.0f} rows/s")


def run_pipeline(asked: argparse.Namespace, store: Path) -> float:
    """Seconds of one run of the pipeline curate."""
    command = [sys.executable, "-m", "stages", "pipeline", "curate", "--store", str(store), "--progress", "off"]
    command += [word for source in asked.source for word in ("--source", f"raw={source}")]
    command += ["--set", f"tokenize.tokenizer={asked.tokenizer}", "--set", f"tokenize.template={asked.template}"]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def print_table(store: Path) -> None:
    """A line for each stage: its first run, and what the second one cost where rows were added."""
    print("| stage | rows out | seconds | rows/s | CPU s | peak MiB | CPU s, rows added | set aside |")
    print("|---|---|---|---|---|---|---|---|")
    spent = [0.0, 0.0]
    for stage in CURATE.stages:
        paths = sorted(store.glob(f"results/{stage.name}/*/receipt.json"), key=lambda path: path.stat().st_mtime_ns)
        receipt, *later = [json.loads(path.read_text()) for path in paths]
        cost, outputs = receipt["cost"], receipt["outputs"]
        spent = [so_far + one["cost"]["cpu_seconds"] for so_far, one in zip(spent, [receipt, *later], strict=False)]
        rows = outputs[stage.outputs[0]]["rows"]
        aside = ", ".join(f"{reason} {n:,}" for reasons in receipt["reasons"].values() for reason, n in reasons.items())
        added = f"{later[0]['cost']['cpu_seconds']:.1f}" if later else ""
        print(f"| {stage.name} | {rows:,} | {cost['seconds']:.1f} | {rows / cost['seconds']:,.0f} | {cost['cpu_seconds']:.1f} "
              f"| {cost['peak_memory_bytes'] / 2**20:,.0f} | {added} | {aside} |")  # fmt: skip
    if len(spent) > 1:
        print(f"\nall stages: {spent[0]:.1f} CPU s, rows added: {spent[1]:.1f} CPU s, {spent[1] / spent[0]:.0%}")


def check_rate(table: pl.DataFrame) -> float:
    """Rows per second of checking a table against its schema, best of three."""
    schema, seconds = load_schema("scored"), []
    for _ in range(3):
        started = time.perf_counter()
        check_table(table, schema, "bench")
        seconds.append(time.perf_counter() - started)
    return table.height / min(seconds)


if __name__ == "__main__":
    main()
