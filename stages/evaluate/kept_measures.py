"""What a base made of held-out data, kept for the next model tuned from it: the base is the slower of the two, as it rarely stops."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.evaluate.answers import Answer
from stages.store.storage import digest_of, write_json


class Measured(NamedTuple):
    """What one model made of it."""

    loss_sums: dict[str, npt.NDArray[np.float64]]
    answers: list[Answer]


def place_of(cache: Path, tables: Mapping[str, pl.DataFrame], others: Sequence[Any]) -> Path:
    """Where the measures of a model on exactly these tables are kept; `others` is JSON that decides them too."""
    digests = {name: _digest(table) for name, table in tables.items()}
    return cache / f"base-{digest_of([digests, *others])[:32]}.json"


def keep(place: Path, measured: Measured) -> None:
    """Floats as JSON come back to the bit."""
    sums = {name: values.tolist() for name, values in measured.loss_sums.items()}
    write_json(place, {"loss_sums": sums, "answers": [answer._asdict() for answer in measured.answers]})


def find(place: Path) -> Measured | None:
    """What `keep` wrote; None where there is nothing, or nothing that can be read."""
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        sums = {name: np.asarray(values, dtype=np.float64) for name, values in kept["loss_sums"].items()}
        return Measured(sums, [Answer(**answer) for answer in kept["answers"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(table: pl.DataFrame) -> str:
    buffer = io.BytesIO()
    table.write_ipc(buffer)
    return hashlib.sha256(buffer.getbuffer()).hexdigest()
