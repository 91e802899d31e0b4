"""What the runs of a setting measured, how much of a difference between settings is noise, and a reading of it in words."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

# Student's t: 95 % lies within so many standard errors, with 1, 2, … degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Found(NamedTuple):
    """One point of an experiment with what its trial measured."""

    trial: str
    varied: Mapping[str, Any]
    value: float | None  # None in a range test
    low: float | None  # ends of its 95 % interval over the held-out items
    high: float | None
    metrics: Mapping[str, float]  # every metric of the tuned model over all slices, and the last training loss
    log: tuple[tuple[float, float], ...]  # (learning rate, loss) of each row of the training log
    seed: int | None = None  # None = the only run of its setting

    @property
    def name(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{told(self.varied) or self.trial}{seed}"


class Setting(NamedTuple):
    """What an experiment tried, with the run of each seed, or the only one."""

    varied: Mapping[str, Any]
    runs: tuple[Found, ...]

    @property
    def name(self) -> str:
        return told(self.varied) or self.runs[0].trial

    @property
    def by_seed(self) -> dict[int | None, float]:
        return {run.seed: run.value for run in self.runs if run.value is not None}

    @property
    def value(self) -> float | None:
        """Mean of its runs."""
        return mean(self.by_seed.values()) if self.by_seed else None

    def spread(self, metric: str) -> tuple[float, float, float] | None:
        """Mean, lowest and highest of its runs; None where none has the metric."""
        values = [run.metrics[metric] for run in self.runs if metric in run.metrics]
        return (mean(values), min(values), max(values)) if values else None


class Difference(NamedTuple):
    """Of two settings, taken between runs of the same seed, which see the data in the same order."""

    value: float
    low: float  # ends of its 95 % interval
    high: float

    @property
    def is_noise(self) -> bool:
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        return f"{self.value:+.3g}, {self.low:+.3g} to {self.high:+.3g}"


def told(varied: Mapping[str, Any]) -> str:
    return ", ".join(f"{setting.rpartition('.')[2]} {value}" for setting, value in varied.items())


def settings_of(found: Sequence[Found]) -> list[Setting]:
    """In the order of their first runs."""
    runs: dict[str, list[Found]] = {}
    for one in found:
        runs.setdefault(told(one.varied), []).append(one)
    return [Setting(group[0].varied, tuple(group)) for group in runs.values()]


def difference(one: Setting, other: Setting) -> Difference | None:
    """`one` minus `other`; None with fewer than two seeds in common, as one pair says nothing about its noise."""
    mine, theirs = one.by_seed, other.by_seed
    apart = [mine[seed] - theirs[seed] for seed in mine if seed is not None and seed in theirs]
    if len(apart) < 2:
        return None
    around = T_95[len(apart) - 2] * stdev(apart) / math.sqrt(len(apart))
    return Difference(mean(apart), mean(apart) - around, mean(apart) + around)


def reading_of(settings: Sequence[Setting], measure: str) -> str:
    """The best setting, and which others are worse by more than noise."""
    known = [one for one in settings if one.value is not None]
    if not known:
        return "no trial has a result"
    is_better = max if measure.endswith(("stop_rate", "match_rate")) else min
    best = is_better(known, key=lambda one: one.value or 0.0)
    compared = [_against(one, best) for one in known if one is not best]
    alike, worse = ([words for is_noise, words in compared if is_noise is wanted] for wanted in (True, False))
    said = [f"best {measure.replace('_', ' ')} {best.value:.4g} with {best.name}{_of_seeds(best)}"]
    said += [f"not told apart from it: {'; '.join(alike)}"] * bool(alike)
    said += [f"worse by more than noise: {'; '.join(worse)}"] * bool(worse)
    said += ["no effect of what was varied can be told from noise"] * (len(known) > 1 and not worse)
    return ". ".join(said)


def _of_seeds(setting: Setting) -> str:
    return f", the mean of {len(setting.by_seed)} seeds" if len(setting.by_seed) > 1 else ""


def _against(one: Setting, best: Setting) -> tuple[bool, str]:
    """Whether what lies between them may be noise, and the words for it."""
    apart = difference(one, best)
    if apart is not None:
        return apart.is_noise, f"{one.name} ({apart})"
    pairs = [(mine, other) for mine in one.runs for other in best.runs if mine.seed == other.seed]
    # Runs of different seeds lie apart by what the seed does, too.
    mine, other = next(((m, o) for m, o in pairs if None not in (m.value, o.value)), (one.runs[0], best.runs[0]))
    if mine.seed != other.seed:
        return True, f"{one.name} ({one.value:.4g}, of another seed)"
    ends = (mine.low, mine.high, other.low, other.high)
    # Where an interval is missing nothing can be told apart.
    is_noise = None in ends or (mine.low <= other.high and other.low <= mine.high)  # type: ignore[operator]
    return is_noise, f"{one.name} ({one.value:.4g}{', intervals overlap' if is_noise else ''})"
