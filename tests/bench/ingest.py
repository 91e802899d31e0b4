"""Records per second, MB per second and peak memory of ingest, for each form of file, beside what does much less.

    .venv/bin/python tests/bench/ingest.py [--source <raw file or folder>] [--records 500000] [--forms jsonl,csv]

Without a source, records of the size of Alpaca's are generated: about 430 bytes, four in ten with an input, as JSON lines,
one JSON array, CSV, Parquet, as chats of ShareGPT's and OpenAI's form, and with `--forms files` in a file each. `job` is
the stage's own work; `run` is the whole command, with digests of the source and tables in canonical form, from a fresh
store. The bare ceilings read the same file and check nothing: `json.loads` for each line, Polars from JSON lines to a
Parquet file, and, with --peers <folder for its environment>, the JSON loader of `datasets`. Each states CPU seconds too,
because other processes disturb the seconds.
"""

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
from side_by_side import environment_of, load_of_machine

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    f"{a}{b}{c}" for a in ("the ", "a ", "", "un") for b in ("river", "model", "answer", "light") for c in ("", "s")
]
JOB = """
import json, sys
from pathlib import Path
from stages.contract import Workbench
from stages.ingest.job import run
from stages.ingest.stage import IngestParams
from stages.raw_files.source_files import list_source_files
source, folder, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
outputs = {name: folder / name for name in ("conversations", "quarantined")}
bench = Workbench(folder / "scratch", folder / "cache", workers, "", lambda *a, **k: None, "0" * 64, {})
for path in (*outputs.values(), bench.scratch, bench.cache):
    path.mkdir(parents=True, exist_ok=True)
print(json.dumps(run(list_source_files([source]), **outputs, params=IngestParams(), workbench=bench)))
"""


LINE_BY_LINE = """
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps({"records_read": sum(1 for record in map(json.loads, file) if record)}))
"""
BY_POLARS = """
import json, sys
import polars as pl
pl.read_ndjson(sys.argv[1]).write_parquet(sys.argv[2], compression="zstd", compression_level=1)
print(json.dumps({"records_read": pl.scan_parquet(sys.argv[2]).select(pl.len()).collect().item()}))
"""
BY_DATASETS = """
import json, sys
import datasets
datasets.disable_progress_bars()
print(json.dumps({"records_read": len(datasets.load_dataset("json", data_files=sys.argv[1], cache_dir=sys.argv[2])["train"])}))
"""
Record = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--forms", default="jsonl,json,csv,parquet,sharegpt,openai")
    parser.add_argument("--peers", type=Path, help="folder for the environment of the peer")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = ["given"] if asked.source else asked.forms.split(",")
        head = (
            "form",
            "what",
            "workers",
            "records",
            "seconds",
            "CPU s",
            "records/s",
            "µs of CPU a record",
            "MB/s",
            "peak MiB",
        )
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for form in forms:
            source = asked.source or generate(folder / form, form, asked.records)
            if form in ("jsonl", "sharegpt", "openai"):
                measure_ceilings(source, form, folder, asked.peers)
            for workers in (1, 2):
                measure_ingest(source, form, folder, workers)
    print(load_of_machine())


def measure_ingest(source: Path, form: str, folder: Path, workers: int) -> None:
    size = sum(path.stat().st_size for path in [source, *source.rglob("*")] if path.is_file())
    stage = folder / f"{form}-job-{workers}"
    command = [sys.executable, "-c", JOB, str(source), str(stage), str(workers)]
    told = measure(form, "job", workers, size, command)
    for output in ("conversations", "quarantined"):
        shutil.rmtree(stage / output)
    measure(form, "job, nothing changed", workers, size, command)
    shutil.rmtree(stage)
    command = [sys.executable, "-m", "stages", "run", "ingest", "--input", f"raw={source}", "--output",
               f"{folder}/{form}-run-{workers}", "--workers", str(workers), "--progress", "off"]  # fmt: skip
    measure(form, "run", workers, size, command, told)
    shutil.rmtree(folder / f"{form}-run-{workers}")


def measure_ceilings(source: Path, form: str, folder: Path, peers: Path | None) -> None:
    (path,) = source.iterdir()
    size = path.stat().st_size
    programs = {"ceiling: json.loads a line": LINE_BY_LINE, "ceiling: Polars to Parquet": BY_POLARS}
    for what, program in programs.items():
        measure(form, what, 1, size, [sys.executable, "-c", program, str(path), str(folder / "ceiling")])
    if peers:
        python = environment_of("datasets", peers)
        measure(form, "peer: datasets 5.0", 1, size, [python, "-c", BY_DATASETS, str(path), str(folder / "cache")])
        shutil.rmtree(folder / "cache")


def generate(folder: Path, form: str, records: int) -> Path:
    """A folder with `records` different records of Alpaca's size, in one file, or as `files` in one each."""
    folder.mkdir()
    WRITERS[form](folder, alpaca_like(random.Random(0), records))
    return folder


def write_lines(folder: Path, rows: Iterator[Record], shape: Callable[[Record], object] = lambda row: row) -> None:
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(shape(row))}\n" for row in rows)


def write_array(folder: Path, rows: Iterator[Record]) -> None:
    with (folder / "rows.json").open("w", encoding="utf-8") as file:
        file.write("[\n    ")
        file.writelines(f"{',' * bool(number)}{json.dumps(row)}" for number, row in enumerate(rows))
        file.write("\n]")


def write_files(folder: Path, rows: Iterator[Record]) -> None:
    for number, row in enumerate(rows):
        (folder / f"{number}.json").write_text(json.dumps(row), encoding="utf-8")


def write_csv(folder: Path, rows: Iterator[Record]) -> None:
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "input", "output"])
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(folder: Path, rows: Iterator[Record]) -> None:
    pl.DataFrame(list(rows)).write_parquet(folder / "rows.parquet")


def as_sharegpt(row: Record) -> object:
    number, _, question = row["instruction"].partition(": ")
    turns = [("human", f"{number}: {question}"), ("gpt", row["output"])]
    return {"id": number, "conversations": [{"from": role, "value": text} for role, text in turns]}


def as_openai(row: Record) -> object:
    turns = [("system", "Be brief."), ("user", row["instruction"]), ("assistant", row["output"])]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


WRITERS: dict[str, Callable[[Path, Iterator[Record]], None]] = {
    "jsonl": write_lines,
    "json": write_array,
    "files": write_files,
    "csv": write_csv,
    "parquet": write_parquet,
    "sharegpt": partial(write_lines, shape=as_sharegpt),
    "openai": partial(write_lines, shape=as_openai),
}


def alpaca_like(numbers: random.Random, records: int) -> Iterator[dict[str, str]]:
    for number in range(records):
        words = [" ".join(numbers.choices(WORDS, k=numbers.choice(sizes))) for sizes in ((6, 12), (14,), (18, 26, 42))]
        has_input = numbers.random() < 0.4
        yield {
            "instruction": f"{number}: {words[0]}.",
            "input": words[1] if has_input else "",
            "output": f"{words[2]}.\n",
        }


def measure(
    form: str, what: str, workers: int, size: int, command: list[str], told: dict[str, int] | None = None
) -> dict[str, int]:
    """Prints a line of the table; returns what the command printed, or `told`."""
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)  # counts this process and those it waited for, and no others
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{what} with {workers} workers ended with {process.returncode}")
    cpu = used.ru_utime + used.ru_stime
    facts: dict[str, int] = told or json.loads(printed)
    records = facts["records_read"]
    print(f"| {form} | {what} | {workers} | {records:,} | {seconds:.1f} | {cpu:.1f} | {records / seconds:,.0f} | {cpu / records * 1e6:.1f} "
          f"| {size / seconds / 1e6:,.0f} | {used.ru_maxrss / 1024:,.0f} |", flush=True)  # fmt: skip
    return facts


if __name__ == "__main__":
    main()
