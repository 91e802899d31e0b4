"""Who hears the signals that end a process, for a while."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what an orchestrator sends


@contextmanager
def signals_to(
    handler: Callable[[int, FrameType | None], object], numbers: Sequence[signal.Signals] = ENDING
) -> Iterator[None]:
    """Hands these signals to `handler`; to whom they went before afterwards."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


@contextmanager
def signals_held() -> Iterator[None]:
    """What ends a process, time limits included, comes afterwards instead: nothing is left half started."""
    came: list[int] = []
    try:
        with signals_to(lambda number, _: came.append(number), (*ENDING, signal.SIGALRM)):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)
