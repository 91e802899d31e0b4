"""What the trials of a sweep measured, experiment by experiment."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stages.execution.runs import Run, finished, load_run, stage_outputs
from stages.pipeline import STAGES
from stages.store.storage import RECEIPT, read_json
from stages.store.tables import read_table
from stages.sweeps.sweep import Experiment, Planned, Point
from stages.sweeps.sweep_noise import Found, Setting, reading_of, settings_of

SMOOTHING = 0.9  # of the loss, from step to step: packs differ more than neighbouring rates do


class RangeTest(NamedTuple):
    """The smoothed curve of a range test."""

    curve: tuple[tuple[float, float], ...]  # (learning rate, smoothed loss)
    lowest: float  # where the smoothed loss is lowest
    highest: float | None  # where it is twice its lowest or more; None = nowhere

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the loss is lowest. Source: `minimum` of fastai's learning rate finder; its place of
        the steepest fall hangs on the noise of the first steps."""
        return self.lowest / 10


class Result(NamedTuple):
    """One experiment: what was asked, what was found, and what that says."""

    title: str
    experiment: Experiment
    found: tuple[Found, ...]  # of the trials that finished
    range_test: RangeTest | None
    reading: str

    @property
    def settings(self) -> list[Setting]:
        return settings_of(self.found)


def results_of(planned: Planned) -> list[Result]:
    """Every experiment of the sweep, with the trials that have finished."""
    return [_result(planned, title, points) for title, points in planned.experiments.items()]


def _result(planned: Planned, title: str, points: Sequence[Point]) -> Result:
    experiment = planned.sweep.experiments[title]
    every = [_found(planned, point, measured=not experiment.is_range_test) for point in points]
    found = tuple(one for one in every if one is not None)
    range_test = read_range_test(found[0].log) if found and experiment.is_range_test else None
    reading = _reading_of_range(range_test) if range_test else reading_of(settings_of(found), planned.sweep.measure)
    return Result(title, experiment, found, range_test, reading)


def _found(planned: Planned, point: Point, *, measured: bool) -> Found | None:
    run = load_run(planned.store.run_folder(point.trial))
    made = stage_outputs(run)
    if finished(run, STAGES["train"]) is None or (measured and "evaluation" not in made):
        return None
    log = read_table(made["training_log"][0]).sort("step").select("learning_rate", "loss").collect()
    metrics = {"train_loss": float(log["loss"][-1]), **_facts(run)}
    if not measured:
        return Found(point.trial, point.varied, None, None, None, metrics, tuple(log.rows()), point.seed)
    rows = read_table(made["evaluation"][0]).filter(model="tuned", slice="all").collect()
    metrics |= dict(rows.select("metric", "value").rows())
    mine = rows.filter(pl.col("metric") == planned.sweep.measure).to_dicts()
    value = mine[0] if mine else {"value": None, "low": None, "high": None}
    return Found(
        point.trial, point.varied, value["value"], value["low"], value["high"], metrics, tuple(log.rows()), point.seed
    )


def _facts(run: Run) -> dict[str, float]:
    """What the training cost."""
    note = finished(run, STAGES["train"])
    receipt = read_json(run.store.root / Path(note["result"]) / RECEIPT) if note and note["result"] else {}
    facts, cost = receipt.get("facts", {}), receipt.get("cost", {})
    return {name: float(facts[name]) for name in ("steps", "supervised_tokens") if name in facts} | {
        name: float(cost[name]) for name in ("cpu_seconds", "peak_memory_bytes") if name in cost
    }


def read_range_test(log: Sequence[tuple[float, float]]) -> RangeTest:
    """Smooths the loss over the steps, without the pull of the start, and looks for the lowest place and the divergence."""
    smooth, mean = [], 0.0
    for number, (rate, loss) in enumerate(log, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth.append((rate, mean / (1 - SMOOTHING**number)))
    lowest = min(range(len(smooth)), key=lambda place: smooth[place][1])
    beyond = [rate for rate, loss in smooth[lowest:] if loss >= 2 * smooth[lowest][1]]
    if log[-1][1] > 4 * min(loss for _, loss in log):  # there the run stopped, before the mean could follow
        beyond.append(log[-1][0])
    return RangeTest(tuple(smooth), smooth[lowest][0], beyond[0] if beyond else None)


def _reading_of_range(test: RangeTest) -> str:
    end = "the loss did not double up to the highest rate"
    if test.highest is not None:
        end = f"it has doubled from its lowest at {test.highest:.2g}"
    return f"the loss is lowest at a rate of {test.lowest:.2g}, and {end}; try a tenth, {test.suggestion:.2g}"
