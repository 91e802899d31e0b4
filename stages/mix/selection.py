"""Chooses rows that are good and unlike one another (in the spirit of LIMA, Zhou et al. 2023, by k-center greedy).

k-center greedy: Sener and Savarese 2018; here each distance counts by the row's quality, so that a strange row is not
chosen for being strange alone. A row's worth only falls as others are chosen, so what it was worth some choices ago is a
bound on what it is worth now: most rows are looked at only when their bound is among the highest (lazy greedy, Minoux 1978).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.contract import Progress
from stages.errors import ConfigError
from stages.mix.vectors import Matrix

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LARGEST_DISTANCE, LEAST_DISTANCE = 2.0, 1e-6  # of cosines; the least keeps good rows before bad ones among copies
WORTH_STEPS = 1_000_000  # per 1: worths nearer than that are equal, however the sums were rounded
MOST_WORTHY = 4096  # rows that are kept up to date


class Parts(NamedTuple):
    """Of which part each row is, by number, and how many rows of each part are chosen at most."""

    of_row: Ints
    most: Ints


def select_rows(vectors: Matrix, quality: Floats, count: int, progress: Progress, parts: Parts | None = None) -> Ints:
    """The positions of `count` rows, or of as many as there are within the limits of `parts`, in the order chosen.

    `vectors` are one row each of length 1, whatever made them: `text_vectors`, or a model's embeddings. `quality` lies
    between 0 and 1. First the best row is chosen, then always the one whose quality times cosine distance to the
    nearest chosen row is highest; of equals the first. Takes at most count x rows x dimensions multiplications.
    """
    parts = parts or Parts(np.zeros(len(quality), dtype=np.int64), np.array([count]))
    there = np.bincount(parts.of_row, minlength=len(parts.most))
    count = min(count, int(np.minimum(there, parts.most).sum()))
    choice = _Choice.none(vectors, quality, parts)
    while len(choice.chosen) < count:
        progress(len(choice.chosen), count, "rows chosen")
        choice.go_on(count)
    progress(count, count, "rows chosen")
    return np.array(choice.chosen, dtype=np.int64)


@dataclass
class _Choice:
    """Rows chosen so far, and what is known of all others."""

    vectors: Matrix
    quality: Floats
    nearest: Floats  # distance of each row to the nearest of the first `compared` chosen ones
    compared: Ints
    part: Ints
    left: Ints  # rows that may still be chosen of each part
    is_open: npt.NDArray[np.bool_]
    chosen: list[int]

    @classmethod
    def none(cls, vectors: Matrix, quality: Floats, parts: Parts) -> "_Choice":
        rows = len(quality)
        nearest, compared = np.full(rows, LARGEST_DISTANCE), np.zeros(rows, dtype=np.int64)
        left = parts.most.copy()
        return cls(vectors, quality, nearest, compared, parts.of_row, left, (left > 0)[parts.of_row], [])

    def go_on(self, count: int) -> None:
        """Chooses, up to `count` rows, for as long as nobody outside the most worthy can be worth more than they are."""
        bounds = self._worth(np.arange(len(self.quality)))
        worthy = np.argpartition(-bounds, min(MOST_WORTHY, len(bounds) - 1))[:MOST_WORTHY]
        worthy.sort()  # what is read next then stands near in memory
        bounds[worthy] = -1
        outside = bounds.max()
        for compared in np.unique(self.compared[worthy]).tolist():
            self._compare(worthy[self.compared[worthy] == compared], compared)
        vectors = self.vectors[worthy]
        while len(self.chosen) < count:
            worth = self._worth(worthy)
            best = int(worthy[worth.argmax()])
            if worth.max() < outside:
                break
            self._choose(best)
            self._come_near(worthy, vectors @ self.vectors[best])
        self.compared[worthy] = len(self.chosen)

    def _choose(self, row: int) -> None:
        self.chosen.append(row)
        self.is_open[row] = False
        part = self.part[row]
        self.left[part] -= 1
        if not self.left[part]:
            self.is_open[self.part == part] = False

    def _worth(self, rows: Ints) -> Ints:
        """Quality times distance of rising rows as whole numbers, of which no two are equal; -1 for one that is not open."""
        every = len(self.quality)
        steps = np.round(self.quality[rows] * self.nearest[rows] * WORTH_STEPS).astype(np.int64)
        return np.where(self.is_open[rows], steps * every + (every - 1 - rows), -1)

    def _compare(self, rows: Ints, compared: int) -> None:
        """Brings rows up to date that were compared with so many of the chosen ones."""
        if len(rows) and compared < len(self.chosen):
            others = self.vectors[self.chosen[compared:]]
            self._come_near(rows, (self.vectors[rows] @ others.T).max(axis=1))

    def _come_near(self, rows: Ints, cosine: Matrix) -> None:
        distance = np.maximum(1 - cosine.astype(np.float64), LEAST_DISTANCE)
        self.nearest[rows] = np.minimum(self.nearest[rows], distance)


def quality_of(rows: pl.DataFrame, column: str | None) -> Floats:
    """Between 0.5 and 1, by the rank of the row in `column`; 1 for all without one. Nulls and NaN come last.

    Raises ConfigError for a column that is not there, not a number, or null in every row.
    """
    if column is None:
        return np.ones(rows.height)
    name, lower_is_better = column.removeprefix("-"), column.startswith("-")
    if name not in rows.columns or not (rows.schema[name].is_numeric() or rows.schema[name] == pl.Boolean):
        numeric = [n for n, dtype in rows.schema.items() if dtype.is_numeric()]
        raise ConfigError(f"mix: quality names {name}, which is no column of numbers; those are {', '.join(numeric)}")
    value = pl.col(name).cast(pl.Float64).fill_nan(None)
    if rows.height and rows.select(value.is_null().all()).item():
        raise ConfigError(
            f"mix: quality names {name}, and no row has one; have it measured (score, rate), or name another"
        )
    rank = (-value if lower_is_better else value).rank("average").fill_null(0.0) / rows.height
    return rows.select(0.5 + rank / 2).to_series().to_numpy().astype(np.float64)
