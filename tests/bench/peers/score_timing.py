"""What every scorer of the benchmark shares: rows in, the best CPU time of a few passes out. Standard library only."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

PASSES = 3  # of each tool: the best of many against one of another would flatter


def read_rows() -> list[dict[str, str]]:
    """id, prompt, answer of each row of the file that the first argument names."""
    return [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]


def report(rows: int, score: Callable[[], int]) -> None:
    """Runs `score`, which returns how many rows it keeps, and prints what it took: CPU time, as other work disturbs
    the clock on the wall.
    """
    best, kept = float("inf"), 0
    for _ in range(PASSES):
        started = time.process_time()
        kept = score()
        best = min(best, time.process_time() - started)
    print(json.dumps({"rows": rows, "cpu_seconds": best, "kept": kept}))
