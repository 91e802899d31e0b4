"""Progress on stderr: one dense line for people, JSON lines for machines."""

import json
import sys
import time
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 1.0


class ProgressLine:
    """Prints how far a stage is, at most once a second; `form` is `text`, `json` or `off`."""

    def __init__(self, stage: str, form: str = "text", stream: TextIO | None = None) -> None:
        self.stage, self.form = stage, form
        self.stream = stream or sys.stderr
        self.started = self.last = time.monotonic()

    def __call__(self, done: int, total: int | None, unit: str, **facts: Any) -> None:
        now = time.monotonic()
        finished = total is not None and done >= total
        if self.form == "off" or (now - self.last < SECONDS_BETWEEN_LINES and not finished):
            return
        self.last = now
        rate = done / max(now - self.started, 1e-9)
        eta = (total - done) / rate if total is not None and rate else None
        if self.form == "json":
            line = json.dumps({"stage": self.stage, "done": done, "total": total, "unit": unit, "per_second": round(rate, 2),
                               "eta_seconds": None if eta is None else round(eta, 1), **facts})  # fmt: skip
        else:
            line = text_line(self.stage, done, total, unit, rate, eta, facts)
        print(line, file=self.stream, flush=True)  # noqa: T201 - this is the program's voice


def text_line(  # noqa: PLR0913, PLR0917 - the words of one sentence
    stage: str, done: int, total: int | None, unit: str, rate: float, eta: float | None, facts: dict[str, Any]
) -> str:
    """`[dedup] 12,000 of 52,002 rows  8,400 rows/s  0:05 left  loss 1.234`."""
    of = "" if total is None else f" of {total:,}"
    pace = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"  # noqa: PLR2004 - where digits after the point start to matter
    left = "" if not eta or eta < 1 else f"  {int(eta) // 60}:{int(eta) % 60:02d} left"
    told = "".join(f"  {name} {value:.4g}" if isinstance(value, float) else f"  {name} {value}" for name, value in facts.items())
    return f"[{stage}] {done:,}{of} {unit}  {pace} {unit}/s{left}{told}"
