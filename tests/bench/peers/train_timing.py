"""What both trainers of the benchmark share: the clock of the steps."""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

WARM_UP_STEPS = 2


def folder() -> Path:
    return Path(sys.argv[1])


def settings() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sys.argv[2])
    return found


class StepClock:
    """Call it at the end of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def __call__(self) -> None:
        self.seconds.append(time.perf_counter())
        self.cpu_seconds.append(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))

    def report(self, losses: list[float], packs: list[dict[str, list[int]]], packs_of_step: list[int]) -> None:
        """Prints speed after the warm-up, from the packs that each step took."""
        tokens, supervised = 0, 0
        for pack in packs[sum(packs_of_step[:WARM_UP_STEPS]) : sum(packs_of_step)]:
            tokens += len(pack["input_ids"])
            supervised += sum(label >= 0 for label in pack["labels"])
        first, steps = WARM_UP_STEPS - 1, len(self.seconds) - WARM_UP_STEPS
        print(json.dumps({
            "tokens_per_second": tokens / (self.seconds[-1] - self.seconds[first]),
            "cpu_seconds_a_step": (self.cpu_seconds[-1] - self.cpu_seconds[first]) / steps,
            "supervised_share": supervised / tokens,
            "losses": losses,
        }))  # fmt: skip
