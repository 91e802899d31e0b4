"""Records per second, MB per second and peak memory of ingest with one and two workers, fresh and with nothing changed.

    .venv/bin/python tests/bench/ingest.py [--source <raw file or folder>] [--records 500000] [--form jsonl|json]

Without a source, records of the size of Alpaca's are generated: about 430 bytes, four in ten with an input. `job` is the
stage's own work; `run` is the whole command, with digests of the source and tables in canonical form, from a fresh
store. CPU seconds are stated beside the seconds because other processes disturb the latter.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

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
from stages.source_files import list_source_files
source, folder, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
outputs = {name: folder / name for name in ("conversations", "quarantined")}
bench = Workbench(folder / "scratch", folder / "cache", workers, "", lambda *a, **k: None, "0" * 64, {})
for path in (*outputs.values(), bench.scratch, bench.cache):
    path.mkdir(parents=True, exist_ok=True)
print(json.dumps(run(list_source_files([source]), **outputs, params=IngestParams(), workbench=bench)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--form", choices=["jsonl", "json"], default="jsonl")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = asked.source or generate(Path(folder) / f"generated.{asked.form}", asked.records)
        size = sum(path.stat().st_size for path in [source, *source.rglob("*")] if path.is_file())
        print(
            "| what | workers | records | seconds | CPU s | records/s | MB/s | peak MiB |\n|---|---|---|---|---|---|---|---|"
        )
        for workers in (1, 2):
            stage = Path(folder) / f"job-{workers}"
            command = [sys.executable, "-c", JOB, str(source), str(stage), str(workers)]
            told = measure("job", workers, size, command)
            for output in ("conversations", "quarantined"):
                shutil.rmtree(stage / output)
            measure("job, nothing changed", workers, size, command)
            command = [sys.executable, "-m", "stages", "run", "ingest", "--input", f"raw={source}", "--output",
                       f"{folder}/run-{workers}", "--workers", str(workers), "--progress", "off"]  # fmt: skip
            measure("run", workers, size, command, told)


def generate(path: Path, records: int) -> Path:
    """`records` different records of Alpaca's form."""
    numbers = random.Random(0)
    between, ends = {".jsonl": ("\n", ("", "\n")), ".json": (",\n    ", ("[\n    ", "\n]"))}[path.suffix]
    with path.open("w", encoding="utf-8") as file:
        file.write(ends[0])
        for number, record in enumerate(alpaca_like(numbers, records)):
            file.write((between if number else "") + json.dumps(record))
        file.write(ends[1])
    return path


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
    what: str, workers: int, size: int, command: list[str], told: dict[str, int] | None = None
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
    print(f"| {what} | {workers} | {facts['records_read']:,} | {seconds:.1f} | {cpu:.1f} | {facts['records_read'] / seconds:,.0f} "
          f"| {size / seconds / 1e6:,.0f} | {used.ru_maxrss / 1024:,.0f} |")  # fmt: skip
    return facts


if __name__ == "__main__":
    main()
