"""Seconds, memory, recall and false positives of decontaminate on real files.

    .venv/bin/python tests/bench/decontaminate.py --evals <folder> --rows <alpaca json> --clean <gsm8k train>
        [--copies 1 4 16] [--workers 1 2]

Rows are instruction records (JSON or JSONL, also .gz). `--clean` are rows known to hold no item, for the rate of false
positives. Every eighth item of gsm8k_test.jsonl is planted in other words, by rule, and every eighth word by word.
Prints one Markdown table; seconds are those of the better of two runs. With several `--copies` the rows are multiplied, each
copy with words of its own, which shows how cost grows; with several `--workers` rows are compared by so many processes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import polars as pl  # noqa: E402 - after the number of threads is set

from rows import conversation  # noqa: E402 - the script runs from anywhere
from stages.decontaminate.job import run  # noqa: E402
from stages.decontaminate.stage import DecontaminateParams  # noqa: E402
from stages.processes.spool import scan_spool  # noqa: E402
from stages.raw_files.records import Record, read_records  # noqa: E402
from stages.raw_files.source_files import list_source_files  # noqa: E402
from stages.schema import load_schema  # noqa: E402
from stages.store.tables import read_table  # noqa: E402
from test_decontaminate_rephrasings import in_other_words  # noqa: E402
from workbench import lend  # noqa: E402

EVERY = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evals", required=True, type=Path)
    parser.add_argument("--rows", required=True, type=Path)
    parser.add_argument("--clean", required=True, type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.evals, *asked.workers)))
        return
    names = [
        "rows",
        "workers",
        "seconds",
        "CPU s",
        "rows/CPU s",
        "peak MiB of one",
        "verbatim found",
        "rephrased found",
        "falsely, known clean",
        "of the rows",
    ]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for copies in asked.copies:
            kept = Path(folder) / str(copies)
            kept.mkdir()
            rows = pl.DataFrame(rows_of(asked, copies), infer_schema_length=None)
            rows.write_parquet(kept / "part-00000.parquet", row_group_size=16_384)
            for workers in asked.workers:  # each in its own process, so that its memory is its own
                print("| " + " | ".join(_measured_alone(kept, asked.evals, workers)) + " |", flush=True)


def _measured_alone(kept: Path, evals: Path, workers: int) -> list[str]:
    given = ["--evals", str(evals), "--rows", "-", "--clean", "-", "--workers", str(workers), "--measure", str(kept)]
    found = subprocess.run([sys.executable, __file__, *given], check=True, capture_output=True, text=True).stdout
    line: list[str] = json.loads(found)
    return line


def measure(kept: Path, evals_folder: Path, workers: int) -> list[str]:
    """One line of the table."""
    evals, costs = list_source_files([evals_folder]), []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as made:
            outputs = {name: Path(made) / name for name in ("clean", "contaminated", "decontamination")}
            bench = replace(lend(Path(made) / "scratch"), workers=workers)
            started, used = time.perf_counter(), _cpu_seconds()
            run(kept, evals=evals, **outputs, params=DecontaminateParams(), workbench=bench)
            costs.append((time.perf_counter() - started, _cpu_seconds() - used))
            found = scan_spool(outputs["contaminated"], load_schema("contaminated")).collect()
    seconds, cpu_seconds = min(costs)
    sizes = dict(read_table(kept).group_by("source").len().collect().rows())
    flagged = dict(found.group_by("source").len().rows())
    told = [f"{flagged.get(name, 0) / sizes[name]:.2%}" for name in ("verbatim", "rephrased", "clean", "rows")]
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024
    count = sum(sizes.values())
    return [f"{count:,}", str(workers), f"{seconds:.1f}", f"{cpu_seconds:.1f}", f"{count / cpu_seconds:,.0f}", f"{peak:,.0f}", *told]  # fmt: skip


def _cpu_seconds() -> float:
    """Of this process and those that it started and that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def rows_of(asked: argparse.Namespace, copies: int) -> list[dict[str, Any]]:
    """Rows of the sources verbatim, rephrased, clean and rows."""
    items = [record["question"] for record in records(asked.evals / "gsm8k_test.jsonl")][::EVERY]
    rows = [row("verbatim", i, text, "Well.") for i, text in enumerate(items)]
    rows += [row("rephrased", i, in_other_words(text, i), "Well.") for i, text in enumerate(items)]
    rows += [row("clean", i, r["question"], r["answer"]) for i, r in enumerate(records(asked.clean))]
    given = records(asked.rows)
    for copy in range(copies):
        own = f" word{copy}" * bool(copy)
        rows += [
            row("rows", i + copy * len(given), f"{r['instruction']}\n\n{r['input']}".strip() + own, r["output"] + own)
            for i, r in enumerate(given)
        ]
    return rows


def row(source: str, number: int, question: str, answer: str) -> dict[str, Any]:
    return conversation(f"{source} {number}", question, answer, source=source) | {
        "messages": messages(question, answer)
    }


def messages(question: str, answer: str) -> list[dict[str, str | None]]:
    empty = {"reasoning_content": None, "tool_calls": None}
    return [{"role": "user", "content": question, **empty}, {"role": "assistant", "content": answer, **empty}]


def records(path: Path) -> list[dict[str, str]]:
    [file] = list_source_files([path])
    return [record.value for record in read_records(file) if isinstance(record, Record)]  # type: ignore[misc]


if __name__ == "__main__":
    main()
