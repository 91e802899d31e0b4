"""A process that helps another one train: it is told what, does its part of every step, and leaves nothing behind."""

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from torch import distributed

from stages.errors import TemperError
from stages.modelling.models import repeatable
from stages.train.job import Work, set_up
from stages.train.launch import join, join_launched
from stages.train.team import Team


class Silence:
    """Progress and metrics of a process that is not the main one."""

    def __call__(self, done: int, total: int | None, unit: str, **facts: Any) -> None: ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def text(self, name: str, content: str) -> None: ...


def follow(team: Team) -> None:
    """Takes part in every training that the main process starts; returns when it says that there are no more."""
    while (work := team.agree(None)) is not None:
        _take_part(team, work)


def follow_launched() -> None:
    """The same, started by `accelerate launch` or `torchrun`."""
    follow(join_launched())
    distributed.destroy_process_group()


def dismiss() -> None:
    """Said by the main process: there is nothing more to train."""
    join_launched().agree(None)
    distributed.destroy_process_group()


def _take_part(team: Team, work: Work) -> None:
    with repeatable(work.params.cpu_threads):
        set_up(team, work, Silence(), Silence()).finish()


def _end_with_parent() -> None:
    """A main process that was killed cannot say goodbye, but its end of our input closes."""

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be held when this process ends by itself
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """`python -m stages.train.follow <port> <rank> <size>`, as stages/train/launch.py starts it."""
    _end_with_parent()
    port, rank, size = map(int, sys.argv[1:])
    try:
        follow(join(port, rank, size))
    except TemperError as error:  # the main process has the same error and says it
        return error.exit_code
    distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
