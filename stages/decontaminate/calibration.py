"""How alike a row and an item must be, so that few rows are flagged that only resemble the evaluation set.

The items of one set are different questions of the same kind. What share of them another item of the set would flag
is therefore what share of clean rows of that kind the set would flag, and needs no data but the set.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from stages.decontaminate.features import Floats
from stages.decontaminate.similarity import LEAST_SCORE
from stages.measures.intervals import share

LEAST_ITEMS = 15  # fewer say nothing of the rate
MOST_ALIKE = 0.2  # a set of which more items are surely alike is made from a template, which any row may share


class Calibration(NamedTuple):
    """Of one evaluation file."""

    least_score: float  # from which a row is flagged
    false_positive_rate: float | None  # measured on items that had no part in choosing the score; None for few items
    highest_rate: float | None  # end of its 95 % interval


def calibrate(
    own: Mapping[str, Floats], clean: Mapping[str, Floats], max_rate: float, sure_score: float
) -> dict[str, Calibration]:
    """Per file, from the best score of each of its items with another of the set, and of each row known clean.

    The score is raised until at most `max_rate` of either is flagged. Items alone raise it to `sure_score` at most,
    since a set that asks one question several times must not hide its rephrasings, unless the whole set is made from
    templates. Rows known clean raise it without limit.
    """
    found = {}
    for file, scores in own.items():
        least = _least_score(scores, max_rate, sure_score)
        if len(clean.get(file, ())):
            least = max(least, _above(clean[file], max_rate))
        rate = (
            share(_flagged_left_out(scores, max_rate, sure_score), len(scores)) if len(scores) >= LEAST_ITEMS else None
        )
        found[file] = Calibration(least, rate and rate.value, rate and rate.high)
    return found


def _least_score(scores: Floats, max_rate: float, sure_score: float) -> float:
    if len(scores) < LEAST_ITEMS:
        return LEAST_SCORE
    needed = max(_above(scores, max_rate), LEAST_SCORE)
    made_from_one_template = (scores >= sure_score).mean() > MOST_ALIKE
    return needed if made_from_one_template else min(needed, sure_score)


def _above(scores: Floats, max_rate: float) -> float:
    """The lowest score that so few of `scores` reach that one more of their kind does with a chance of `max_rate`.

    Where there are too few scores to be so sure, none of them reaches it. Split conformal prediction: Angelopoulos and
    Bates 2021, arXiv 2107.07511.
    """
    allowed = max(int(max_rate * (len(scores) + 1)) - 1, 0)
    highest = np.sort(scores)[::-1]
    return float(np.nextafter(highest[allowed], 2.0)) if allowed < len(highest) else 0.0


def _flagged_left_out(scores: Floats, max_rate: float, sure_score: float) -> int:
    """How many of the items are flagged by the score that the other items give."""
    alike = np.flatnonzero(scores >= LEAST_SCORE)
    return sum(bool(scores[i] >= _least_score(np.delete(scores, i), max_rate, sure_score)) for i in alike)


def least_scores(calibrations: Mapping[str, Calibration]) -> pl.DataFrame:
    """eval_file and least_score."""
    rows = [(file, calibration.least_score) for file, calibration in sorted(calibrations.items())]
    return pl.DataFrame(rows, schema={"file": pl.String, "least_score": pl.Float64}, orient="row")
