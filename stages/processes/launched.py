"""One command started as several processes by `accelerate launch` or `torchrun`: the first runs it, the others help it train."""

import importlib
import os

FOLLOW = "stages.train.follow"  # loads torch, and is the one stage that knows how to help


def size() -> int:
    """How many processes were started together; 1 = this one, alone."""
    is_launched = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"))
    return int(os.environ["WORLD_SIZE"]) if is_launched else 1


def rank() -> int:
    """Which of them this is."""
    return int(os.environ["RANK"])


def local_rank() -> int:
    """Which of those on this machine."""
    return int(os.environ.get("LOCAL_RANK", rank()))


def is_helper() -> bool:
    """Whether the command belongs to another of these processes."""
    return size() > 1 and rank() > 0


def uses_cpu() -> bool:
    """Whether `accelerate launch --cpu` was asked for."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"


def is_sharded() -> bool:
    """Whether `accelerate launch --use_fsdp` was asked for."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def help_others() -> None:
    """Does its part of each training that the first process starts, until that one has finished its command."""
    importlib.import_module(FOLLOW).follow_launched()


def send_helpers_home() -> None:
    """Said by the first process when its command is done; without it they would wait for a training that never comes."""
    if size() > 1:
        importlib.import_module(FOLLOW).dismiss()
