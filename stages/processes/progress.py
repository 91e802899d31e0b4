"""Progress on stderr: one dense line for people, JSON lines for machines."""

import json
import sys
import time
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 1.0
SHARE_OF_TIME_BETWEEN_LOG_LINES = 0.02  # a line each second of a training of ten hours would be 36,000
LONGEST_SILENCE_SECONDS = 60.0


class ProgressLine:
    """Prints how far a stage is; `form` is `text`, `json` or `off`.

    Speed and time left count from the first word, which says where a loop begins, and is told at once. Then at most once
    a second; less often in a log that nobody watches the longer it takes, at least once a minute. What is told with what
    it does `now` is one of a few unlike pieces of work: how long one took says nothing of the next, and each is told.
    """

    def __init__(self, stage: str, form: str = "text", stream: TextIO | None = None) -> None:
        self.stage, self.form = stage, form
        self.stream = stream or sys.stderr
        self.started = self.last = time.monotonic()
        self.first: tuple[float, int, str] | None = None  # when it was first told how far it is, how far, of what

    def begin(self) -> None:
        """Says, to people, that the stage starts: it may load libraries for seconds before it has a word of its own."""
        if self.form == "text":
            print(f"[{self.stage}] starts", file=self.stream, flush=True)

    def __call__(self, done: int, total: int | None, unit: str, **facts: Any) -> None:
        now, is_first_word = time.monotonic(), self.first is None
        if self.first is None or self.first[2] != unit or self.first[1] > done:
            self.first = (now, done, unit)
        finished = total is not None and done >= total
        is_unlike = "now" in facts
        is_due = is_first_word or finished or is_unlike or now - self.last >= self._seconds_between_lines(now)
        if self.form == "off" or not is_due:
            return
        self.last = now
        rate = None if is_unlike else self._rate(now, done)
        eta = (total - done) / rate if total is not None and rate else None
        if self.form == "json":
            line = json.dumps({"stage": self.stage, "done": done, "total": total, "unit": unit,
                               "per_second": _rounded(rate, 2), "eta_seconds": _rounded(eta, 1), **facts})  # fmt: skip
        else:
            of = "" if total is None else f" of {total:,}"
            line = f"[{self.stage}] {done:,}{of} {unit}{_pace(rate, unit)}{_left(eta)}{_told(facts)}"
        print(line, file=self.stream, flush=True)

    def _seconds_between_lines(self, now: float) -> float:
        if self.form == "json" or self.stream.isatty():
            return SECONDS_BETWEEN_LINES
        share = (now - self.started) * SHARE_OF_TIME_BETWEEN_LOG_LINES
        return min(max(share, SECONDS_BETWEEN_LINES), LONGEST_SILENCE_SECONDS)

    def _rate(self, now: float, done: int) -> float | None:
        """Per second since the first word: what came before was preparation, or the work of an attempt that was killed."""
        then, before, _ = self.first or (now, done, "")
        return (done - before) / (now - then) if done > before and now > then else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _pace(rate: float | None, unit: str) -> str:
    return "" if rate is None else f"  {f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'} {unit}/s"


def _left(eta: float | None) -> str:
    return f"  {int(eta) // 60}:{int(eta) % 60:02d} left" if eta and eta >= 1 else ""


def _told(facts: dict[str, Any]) -> str:
    return "".join(f"  {name} {f'{value:.4g}' if isinstance(value, float) else value}" for name, value in facts.items())
