"""Rows per second and core of measuring and filtering rows, side by side with other tools on the same rows.

    .venv/bin/python tests/bench/score.py --source <instruction records, JSON or JSON.gz> [--rows 20000]
        [--peers plain_polars datatrove data_juicer] [--folder work/bench]

Every tool runs as a process of its own on one thread and is timed by CPU time, without reading the rows; a peer gets an
environment of its own below the folder. Prints one Markdown table; a peer that cannot be installed or fails is a row
that says so.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOOLS = {
    "temper": "Temper: score and filter",
    "plain_polars": "plain Polars",
    "datatrove": "datatrove 0.10.1: Gopher, C4, FineWeb",
    "data_juicer": "data-juicer 1.6.1",
}
SIGNALS = {"plain_polars": "10", "datatrove": "4 filters", "data_juicer": "10 filters"}
OWN = ("temper", "plain_polars")  # run in this environment
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--peers", nargs="*", default=[name for name in TOOLS if name != "temper"])
    parser.add_argument("--folder", type=Path, default=Path("work/bench"))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    corpus = write_corpus(asked.source, asked.rows, asked.folder / "score_rows.jsonl")
    print("| tool | signals | CPU s | rows/s/core | Temper is | kept |\n|---|---|---|---|---|---|")
    ours = measure("temper", corpus, asked.folder)
    print_row("temper", ours, ours)
    for peer in asked.peers:
        print_row(peer, measure(peer, corpus, asked.folder), ours)
    print(f"\nload of this machine while measuring: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def write_corpus(source: Path, rows: int, target: Path) -> Path:
    """Every n-th record of an Alpaca-like file, `rows` of them, as id, prompt and answer."""
    content = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    records = json.loads(content)
    chosen = records[:: max(len(records) // rows, 1)][:rows]
    with target.open("w", encoding="utf-8") as file:
        for number, record in enumerate(chosen):
            prompt = "\n\n".join(filter(None, (record["instruction"], record.get("input"))))
            file.write(json.dumps({"id": f"{number:032x}", "prompt": prompt, "answer": record["output"]}) + "\n")
    return target


def measure(tool: str, corpus: Path, folder: Path) -> dict[str, Any] | str:
    """rows, cpu_seconds and kept, or why the tool did not run."""
    try:
        command = [environment(tool, folder), str(HERE / "peers" / f"score_{tool}.py"), str(corpus)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    except subprocess.CalledProcessError as error:
        return (error.stderr or "").strip().splitlines()[-1][:120] if error.stderr else f"exit code {error.returncode}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def environment(tool: str, folder: Path) -> str:
    """The interpreter of a tool, made with its pinned requirements when it is not there."""
    if tool in OWN:
        return sys.executable
    python = folder / "environments" / tool / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        pinned = HERE / "requirements" / f"{tool}.txt"
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(pinned)]
        subprocess.run(install, check=True, capture_output=True, text=True)
    return str(python)


def print_row(tool: str, found: dict[str, Any] | str, ours: dict[str, Any] | str) -> None:
    if isinstance(found, str):
        print(f"| {TOOLS[tool]} | - | - | did not run: {found} | - | - |")
        return
    rate = found["rows"] / found["cpu_seconds"]
    ratio = f"{found['cpu_seconds'] / ours['cpu_seconds']:.1f}x as fast" if isinstance(ours, dict) else "-"
    print(f"| {TOOLS[tool]} | {SIGNALS.get(tool) or own_signals()} | {found['cpu_seconds']:.2f} | {rate:,.0f} | "
          f"{'-' if tool == 'temper' else ratio} | {found['kept']:,} |", flush=True)  # fmt: skip


def own_signals() -> str:
    sys.path.insert(0, str(HERE.parents[1]))
    from stages.measures.filter_rules import RULES
    from stages.score.transform import COLUMNS

    return f"{len(COLUMNS)}, and {len(RULES)} rules"


if __name__ == "__main__":
    main()
