"""Seconds, memory, recall and false positives of decontaminate on real files.

    .venv/bin/python tests/bench/decontaminate.py --evals <folder> --rows <alpaca json> --clean <gsm8k train> [--copies 1 4 16]

Rows are instruction records (JSON or JSONL, also .gz). `--clean` are rows known to hold no item, for the rate of false
positives. Every eighth item of gsm8k_test.jsonl is planted in other words, by rule, and every eighth word by word.
Prints one Markdown table; seconds are CPU seconds of one thread, the best of two. With several `--copies` the rows are
multiplied, each copy with words of its own, which shows how cost grows.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import polars as pl  # noqa: E402 - after the number of threads is set

from rows import conversation  # noqa: E402 - the script runs from anywhere
from stages.decontaminate.stage import DecontaminateParams  # noqa: E402
from stages.decontaminate.transform import transform  # noqa: E402
from stages.raw_files.records import Record, read_records  # noqa: E402
from stages.raw_files.source_files import list_source_files  # noqa: E402
from test_decontaminate_rephrasings import in_other_words  # noqa: E402

EVERY = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evals", required=True, type=Path)
    parser.add_argument("--rows", required=True, type=Path)
    parser.add_argument("--clean", required=True, type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.evals)))
        return
    names = [
        "rows",
        "CPU s",
        "rows/CPU s",
        "peak MiB",
        "verbatim found",
        "rephrased found",
        "falsely, known clean",
        "of the rows",
    ]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for copies in asked.copies:  # each in its own process, so that its memory is its own
            table = Path(folder) / "rows.parquet"
            pl.DataFrame(rows_of(asked, copies), infer_schema_length=None).write_parquet(table, row_group_size=16_384)
            command = [sys.executable, *sys.argv, "--measure", str(table)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print("| " + " | ".join(found) + " |", flush=True)


def measure(rows: Path, evals_folder: Path) -> list[str]:
    """One line of the table."""
    table, evals = pl.scan_parquet(rows), list_source_files([evals_folder])
    seconds = []
    for _ in range(2):
        started = time.process_time()
        found = transform(table, evals=evals, params=DecontaminateParams()).contaminated.collect()
        seconds.append(time.process_time() - started)
    sizes = dict(table.group_by("source").len().collect().rows())
    flagged = dict(found.group_by("source").len().rows())
    told = [f"{flagged.get(name, 0) / sizes[name]:.2%}" for name in ("verbatim", "rephrased", "clean", "rows")]
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024
    count = sum(sizes.values())
    return [f"{count:,}", f"{min(seconds):.1f}", f"{count / min(seconds):,.0f}", f"{peak:,.0f}", *told]


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
