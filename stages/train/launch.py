"""Brings the processes of one training together: started here, or before by `accelerate launch` or `torchrun`."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is public, but not in __all__

import stages
from stages.errors import ConfigError, TryAgain
from stages.processes import launched
from stages.train.stage import TrainParams
from stages.train.team import Team, alone

HOST = "127.0.0.1"
PATIENCE = timedelta(minutes=30)  # for one another, while one loads a model or saves a checkpoint
SECONDS_BETWEEN_LOOKS, SECONDS_TO_DIE = 0.05, 20.0
ROOT = Path(stages.__file__).resolve().parent.parent


@contextmanager
def gather_team(params: TrainParams) -> Iterator[Team]:
    """The processes that `params` asks for, this one the main one.

    Raises ConfigError when others were started than asked for, or there are fewer GPUs, and TryAgain when one has died.
    """
    if launched.size() not in (1, params.processes):
        raise ConfigError(
            f"{launched.size()} processes were started and train has processes={params.processes}; leave processes out, or "
            f"start as many"
        )
    if params.processes == 1:
        yield alone(device_of(0))
    elif launched.size() > 1:
        yield join_launched()
    else:
        with _started(params.processes) as team:
            yield team


def device_of(local_rank: int) -> torch.device:
    """The GPU of that number, or the CPU where there is none; ConfigError when there are GPUs, and too few."""
    if not torch.cuda.is_available() or launched.uses_cpu():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local_rank + 1} has no GPU: there are {torch.cuda.device_count()}; set processes to as many"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def join_launched() -> Team:
    """The team that `accelerate launch` or `torchrun` started, joined once per process."""
    device = device_of(launched.local_rank())
    if not distributed.is_initialized():
        distributed.init_process_group(_backend(device), init_method="env://", timeout=PATIENCE)
    return Team(launched.rank(), launched.size(), device)


def join(port: int, rank: int, size: int) -> Team:
    """The team that another process on this machine started."""
    store = TCPStore(HOST, port, is_master=False, timeout=PATIENCE)
    store.set(f"here/{rank}", "yes")
    return _connect(store, rank, size)


@contextmanager
def _started(size: int) -> Iterator[Team]:
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    others = [_start(store.port, rank, size) for rank in range(1, size)]
    try:
        _wait_until_here(store, others)
        team = _connect(store, 0, size)
        yield team
        team.agree(None)  # there is nothing more to train
    except RuntimeError as error:  # what gloo and NCCL raise when a connection breaks
        if dead := _dying(others):
            raise TryAgain(f"{_told(dead)}; run the same command again to go on from the last checkpoint") from error
        raise
    finally:
        _end(others)


def _end(others: "list[subprocess.Popen[bytes]]") -> None:
    """The processes have ended, by themselves if they were told to and else because their input closes."""
    for process in others:
        process.communicate()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _start(port: int, rank: int, size: int) -> "subprocess.Popen[bytes]":
    """A process that ends when this one does: it reads its input, which closes then."""
    command = [sys.executable, "-m", "stages.train.follow", str(port), str(rank), str(size)]
    inherited = dict(os.environ)
    path = os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")]))
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=inherited | {"PYTHONPATH": path}
    )


def _wait_until_here(store: TCPStore, others: "list[subprocess.Popen[bytes]]") -> None:
    awaited = [f"here/{rank}" for rank in range(1, len(others) + 1)]
    while not store.check(awaited):
        if dead := _dead(others):
            raise TryAgain(f"{_told(dead)} before training started; what it said is above")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _dead(others: "list[subprocess.Popen[bytes]]") -> list[int]:
    """Ranks of the processes that have ended."""
    return [rank for rank, process in enumerate(others, start=1) if process.poll() is not None]


def _dying(others: "list[subprocess.Popen[bytes]]") -> list[int]:
    """The same after a connection broke, which happens before its process has ended."""
    deadline = time.monotonic() + SECONDS_TO_DIE
    while not (dead := _dead(others)) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return dead


def _told(dead: list[int]) -> str:
    return f"training process {', '.join(map(str, dead))} of this run has died"


def _connect(store: TCPStore, rank: int, size: int) -> Team:
    device = device_of(rank)
    if device.type == "cpu" and sys.platform == "linux":
        # The name of a machine in a container often leads nowhere, and all of them are here.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(_backend(device), store=store, rank=rank, world_size=size, timeout=PATIENCE)
    return Team(rank, size, device)


def _backend(device: torch.device) -> str:
    return "nccl" if device.type == "cuda" else "gloo"
