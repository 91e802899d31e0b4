"""Trains tiny models on a few examples in a test, as the runner would call the stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from rows import sealed
from stages.contract import Workbench
from stages.raw_files.source_files import file_sha256
from stages.train.examples import Examples, from_table
from stages.train.job import run
from stages.train.stage import TrainParams
from workbench import lend

BASE_DIGEST = "b" * 64
# One thread: the sums of these tiny matrices are not worth sharing.
TINY = {"cpu_threads": 1, "pack_tokens": 64, "packs_per_step": 2, "epochs": 2, "learning_rate": 1e-3}


class Trained(NamedTuple):
    """What one run of the stage left behind."""

    adapter: Path
    model: Path
    log: pl.DataFrame
    facts: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The folder that was made."""
        return self.model if any(self.model.iterdir()) else self.adapter


def example(
    name: str, input_ids: Sequence[int], loss_mask: Sequence[int] | None = None, **columns: Any
) -> dict[str, Any]:
    """One row of `examples`; without a mask the second half counts."""
    half = len(input_ids) // 2
    mask = list(loss_mask) if loss_mask is not None else [0] * half + [1] * (len(input_ids) - half)
    return {"row_id": name, "input_ids": list(input_ids), "loss_mask": mask, **columns}


def random_examples(count: int, tokens: int = 400, seed: int = 0, end: int = 2, **columns: Any) -> list[dict[str, Any]]:
    """Examples of 5 to 40 random tokens that end with `end`; one of ten is of split validation."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        ids = [*random.integers(3, tokens, size=int(random.integers(4, 40))).tolist(), end]
        split = "validation" if number % 10 == 9 else "train"
        made.append(example(f"row-{number:03d}", ids, **({"split": split} | columns)))
    return made


def arrays(rows: Sequence[dict[str, Any]]) -> Examples:
    """`rows` as the training loop sees them, in the given order."""
    frame = pl.DataFrame([{"repeats": 1} | row for row in rows])
    return from_table(frame)


def train(
    folder: Path, base: Path, rows: Sequence[dict[str, Any]], bench: Workbench | None = None, **params: Any
) -> Trained:
    """Runs the stage in `folder`; `tokenizer` among the params is the optional input."""
    tokenizer = params.pop("tokenizer", None)
    given = TrainParams(**({"method": "full"} | TINY | params))
    examples = sealed(folder / "examples", "examples", rows)
    outputs = {name: folder / name for name in ("adapter", "model", "training_log")}
    for output in outputs.values():
        output.mkdir()
    made: dict[str, Any] = outputs | dict.fromkeys(given.outputs_left_out())
    bench = bench or lend(folder / "scratch", input_digests={"base": BASE_DIGEST})
    facts = run(base, examples, tokenizer=tokenizer, **made, params=given, workbench=bench)
    log = pl.read_parquet(outputs["training_log"])
    return Trained(outputs["adapter"], outputs["model"], log, facts)


def digests(folder: Path) -> dict[str, str]:
    """File name -> digest of its bytes."""
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
