"""Rows divided by ranges of their key, on disk, so that each range can be put in order by itself, in bounded memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import polars as pl

PILE = ".pile"


class Piles(NamedTuple):
    """A folder for each range of a column. Several processes may add rows, each under names of its own."""

    folder: Path
    cuts: pl.Series  # first value of each range but the lowest; named after the column

    @classmethod
    def make(cls, folder: Path, cuts: pl.Series) -> Self:
        """Empty piles, one more than there are cuts."""
        piles = cls(folder, cuts)
        for number in range(len(cuts) + 1):
            piles._pile(number).mkdir(parents=True)
        return piles

    def add(self, rows: pl.DataFrame, name: str) -> None:
        """Leaves the rows of each range in a file called `name`."""
        pile_of = self.cuts.search_sorted(rows[self.cuts.name], side="right")  # a null sorts first, and here too
        by_pile = rows.with_columns(pile_of.alias(PILE)).partition_by(PILE, as_dict=True, include_key=False)
        for (number,), some in by_pile.items():
            some.write_ipc(self._pile(int(number)) / f"{name}.arrow", compression="uncompressed")

    def _pile(self, number: int) -> Path:
        return self.folder / f"{number:05d}.pile"


def take(folder: Path) -> Iterator[pl.DataFrame]:
    """The rows of each pile in `folder`, the lowest range first; what was taken is gone from the disk."""
    for pile in piles_in(folder):
        if files := sorted(pile.iterdir()):
            yield pl.scan_ipc(files, glob=False).collect()
        shutil.rmtree(pile)


def piles_in(folder: Path) -> list[Path]:
    """The piles that a folder holds; none where rows were left in it in another way."""
    return sorted(folder.glob("*.pile"))
