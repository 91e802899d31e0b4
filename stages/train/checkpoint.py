"""Checkpoints that are whole or absent: written aside, sealed by a file of digests written last, then renamed."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from stages.raw_files.source_files import file_sha256
from stages.store.storage import fsync, write_json

SEAL = "whole.json"  # file -> SHA-256 of all others; a folder without it, or that differs from it, is no checkpoint
PROGRESS = "progress.json"
KEPT = 2  # so that one that cannot be read leaves another

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """All that a run needs to go on. Data order, learning rate and random numbers follow from the step and the seed."""

    step: int
    progress: Mapping[str, Any]  # JSON
    tensors: Mapping[str, Mapping[str, Tensor]]  # group -> name -> tensor: weights, optimizer, best


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Makes `folder`/step-N appear at once and whole, and deletes checkpoints older than the one before it."""
    final = folder / f"step-{checkpoint.step:08d}"
    part = final.with_suffix(".tmp")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for group, tensors in checkpoint.tensors.items():
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            part / f"{group}.safetensors",
        )
    write_json(part / PROGRESS, dict(checkpoint.progress))
    files = sorted(path for path in part.iterdir())
    for path in files:
        fsync(path)
    write_json(part / SEAL, {path.name: file_sha256(path) for path in files})
    shutil.rmtree(final, ignore_errors=True)  # one that could not be read, or this run would have started from it
    part.rename(final)
    fsync(folder)
    for old in _newest_first(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose every byte is as it was sealed; broken and unfinished ones are passed over."""
    for path in _newest_first(folder):
        if _is_whole(path):
            tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
            progress = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
            return Checkpoint(int(path.name.removeprefix("step-")), progress, tensors)
        logger.warning("checkpoint %s is broken and passed over", path.name)
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("step-*") if path.suffix != ".tmp"), reverse=True)


def _is_whole(path: Path) -> bool:
    try:
        sealed = json.loads((path / SEAL).read_text(encoding="utf-8"))
        return all(file_sha256(path / name) == digest for name, digest in sealed.items())
    except (OSError, ValueError, AttributeError):
        return False
