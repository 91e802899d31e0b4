"""Mix's choice of unlike rows beside plain k-center greedy, in which every row meets every chosen one as soon as it is chosen.

    .venv/bin/python tests/bench/selection.py --source <instruction records, JSON or JSON.gz> [--choose 1000 5000]

Both choose from the same vectors of the same rows, in one process on one thread. Prints one Markdown table: CPU seconds, and
how many of the rows are the same; those that are not are equal to the sixth digit, which the order of a sum decides.
"""

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

os.environ.update(OPENBLAS_NUM_THREADS="1", POLARS_MAX_THREADS="1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402 - after the number of threads is set
import polars as pl  # noqa: E402

from stages.mix.selection import LARGEST_DISTANCE, LEAST_DISTANCE, WORTH_STEPS, Ints, select_rows  # noqa: E402
from stages.mix.vectors import Matrix, text_vectors  # noqa: E402
from workbench import say_nothing  # noqa: E402

Made = TypeVar("Made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--choose", type=int, nargs="+", default=[1000, 5000])
    asked = parser.parse_args()
    texts = texts_of(asked.source)
    vectors, seconds = timed(partial(text_vectors, texts))
    print(f"{len(texts):,} rows, their vectors {seconds:.1f} CPU s\n")
    print("| chosen | Temper, CPU s | plain, CPU s | times Temper's | the same rows |\n|---|---|---|---|---|")
    for count in asked.choose:
        ours, own = timed(partial(select_rows, vectors, np.ones(len(vectors)), count, say_nothing))
        theirs, plain = timed(partial(plain_greedy, vectors, count))
        same = len(set(ours.tolist()) & set(theirs.tolist()))
        print(f"| {count:,} | {own:.1f} | {plain:.1f} | {plain / own:.1f} | {same:,} |", flush=True)


def texts_of(source: Path) -> pl.Series:
    with gzip.open(source, "rt") if source.suffix == ".gz" else source.open() as file:
        return pl.Series(["\n".join(str(record[name]) for name in ("instruction", "input", "output")) for record in json.load(file)])  # fmt: skip


def plain_greedy(vectors: Matrix, count: int) -> Ints:
    """The row that is farthest from all chosen ones, again and again; of equals the first."""
    nearest, chosen = np.full(len(vectors), LARGEST_DISTANCE), np.zeros(count, dtype=np.int64)
    for number in range(count):
        worth = np.round(nearest * WORTH_STEPS)
        worth[chosen[:number]] = -1
        best = chosen[number] = worth.argmax()
        distance = 1 - (vectors @ vectors[best]).astype(np.float64)
        nearest = np.minimum(nearest, np.maximum(distance, LEAST_DISTANCE))
    return chosen


def timed(make: Callable[[], Made]) -> tuple[Made, float]:
    started = time.process_time()
    made = make()
    return made, time.process_time() - started


if __name__ == "__main__":
    main()
