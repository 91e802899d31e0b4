"""What `plan train` predicts beside what the train stage then takes, each in a process of its own.

    .venv/bin/python tests/bench/plan.py [--steps 8] [--threads 1]

Prints a Markdown table: peak memory, CPU seconds and wall seconds, predicted, measured and their ratio. Random weights and
tokens; the lengths are those of Alpaca, whose token counts are about log-normal. CPU seconds mean most on a busy machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rows import sealed  # noqa: E402 - the script runs from anywhere
from tiny_model import make_model  # noqa: E402
from tiny_tokenizer import make_tokenizer  # noqa: E402

SHAPES: dict[str, dict[str, Any]] = {
    "bench": {"hidden": 256, "layers": 4, "vocab_size": 50_260, "intermediate_size": 688, "num_key_value_heads": 4, "max_position_embeddings": 2048},
    "tiny": {"hidden": 64, "layers": 3},
}  # fmt: skip
PACK_TOKENS = {"bench": 1024, "tiny": 256}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    print("| model | method | what | predicted | measured | ratio |\n|---|---|---|---|---|---|")
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            base, examples = write_inputs(Path(folder), shape)
            for method in ("lora", "full"):
                settings = {"method": method, "pack_tokens": PACK_TOKENS[shape], "packs_per_step": 4, "max_steps": asked.steps, "cpu_threads": asked.threads}  # fmt: skip
                given = ["--input", f"base={base}", "--input", f"examples={examples}"]
                given += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
                for line in compare(given, Path(folder) / method):
                    print(f"| {shape} | {method} | {line}", flush=True)


def write_inputs(folder: Path, shape: str) -> tuple[Path, Path]:
    """A random base, and 600 examples of random tokens."""
    base = make_model(folder / "base", make_tokenizer(folder / "tokenizer"), **SHAPES[shape])
    tokens = json.loads((base / "config.json").read_text())["vocab_size"]
    random, rows = np.random.default_rng(0), []
    for number in range(600):
        length = int(np.clip(random.lognormal(4.4, 0.6), 20, PACK_TOKENS[shape] // 2))
        ids, prompt = random.integers(3, tokens, length).tolist(), length // 3
        split = "validation" if number % 40 == 0 else "train"
        rows.append({"row_id": f"r{number:04d}", "input_ids": ids, "loss_mask": [0] * prompt + [1] * (length - prompt), "split": split})  # fmt: skip
    return base, sealed(folder / "examples", "examples", rows)


def compare(given: list[str], output: Path) -> list[str]:
    told = json.loads(stages("plan", "train", *given, "--json"))
    cpu, wall = cpu_seconds_of_children(), time.perf_counter()
    stages("run", "train", *given, "--output", str(output), "--progress", "off")
    cpu, wall = cpu_seconds_of_children() - cpu, time.perf_counter() - wall  # imports too, as they are foretold too
    peak_bytes = json.loads((output / "receipt.json").read_text())["cost"]["peak_memory_bytes"]
    pairs = {
        "peak memory, MiB": (told["peak_bytes"] / 2**20, peak_bytes / 2**20),
        "CPU seconds": (told["cpu_seconds"], cpu),
        "wall seconds": (told["seconds"], wall),
    }
    return [f"{what} | {mine:,.1f} | {real:,.1f} | {mine / real:.3f} |" for what, (mine, real) in pairs.items()]


def cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def stages(*arguments: str) -> str:
    command = [sys.executable, "-m", "stages", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
