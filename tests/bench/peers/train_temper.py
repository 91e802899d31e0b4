"""Temper: the train stage's job."""

import json
import sys
import tempfile
from pathlib import Path

import polars as pl
from train_timing import StepClock, folder, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.contract import Workbench
from stages.train.job import run
from stages.train.stage import TrainParams


def main() -> None:
    params, clock, scratch = TrainParams(**settings()), StepClock(), Path(tempfile.mkdtemp())
    made, log = scratch / "made", scratch / "log"
    made.mkdir(), log.mkdir()
    bench = Workbench(scratch, scratch, 1, "", lambda done, *_, **__: clock() if done else None, "", {})
    run(
        folder() / "base", folder() / "examples", adapter=None if params.method == "full" else made,
        model=made if params.method == "full" else None, training_log=log, params=params, workbench=bench,
    )  # fmt: skip
    losses = pl.read_parquet(log / "training_log.parquet")["loss"].to_list()
    packs = pl.read_parquet(folder() / "packs.parquet").to_dicts()
    clock.report(losses, packs, json.loads((folder() / "packs_of_step.json").read_text()))


if __name__ == "__main__":
    main()
