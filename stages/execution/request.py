"""What is asked of the runner, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.contract import DEFAULT_BATCH_ROWS, Params, Stage
from stages.processes.engine import LOCAL
from stages.store.storage import LocalStore


@dataclass(frozen=True)
class Request:
    """One execution of one stage. The result goes to `output`, or to its address in `store`."""

    stage: Stage
    params: Params
    inputs: Mapping[str, Sequence[Path]]
    tracking_uri: str
    output: Path | None = None
    store: LocalStore | None = None
    workers: int = 1
    batch_rows: int = DEFAULT_BATCH_ROWS
    progress_form: str = "text"
    engine: str = LOCAL  # where the workers are; never changes the result
    cache: Path | None = None  # None = in `store`; without a store nothing outlives the run


@dataclass(frozen=True)
class Outcome:
    """Where the result stands, its receipt, and whether it was there already."""

    folder: Path
    receipt: Mapping[str, Any]
    hit: bool = False
    notes: tuple[str, ...] = field(default=())
