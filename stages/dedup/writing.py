"""Writes the rows of both tables in the order in which they lie in the conversations."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from stages.dedup.differing_words import compared_text, first_differing_words
from stages.dedup.verdicts import Verdicts
from stages.processes.spool import leave


def write(paths: Sequence[Path], made: Verdicts, key: str, unique: Path, duplicates: Path, waiting: Path) -> None:
    """Leaves the rows of `unique` and `duplicates`; `waiting` is an empty folder.

    Each file is read once: what goes waits until the last survivor was met.
    """
    gone, survivor_ids = made.go["row_id"].implode(), made.go["survivor_id"].unique().implode()
    survivors, first = [], 0
    for number, path in enumerate(paths):
        table = pl.read_parquet(path, glob=False)
        goes = table["row_id"].is_in(gone)
        stay = table.filter(~goes)
        leave(_side_by_side(stay, made.stay[first : first + stay.height]), unique, number)
        first += stay.height
        leave(table.filter(goes), waiting, number)
        met = stay.filter(stay["row_id"].is_in(survivor_ids))
        survivors.append(met.select(survivor_id="row_id", survivor_text=compared_text(key)))
    texts = pl.concat(survivors)
    for number, left in enumerate(sorted(waiting.iterdir())):
        leave(_beside_survivors(pl.scan_ipc(left, glob=False).collect(), made.go, texts, key), duplicates, number)


def _side_by_side(rows: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Rows with their verdicts, which come in the same order: a join would take longer than to read the rows."""
    if not rows["row_id"].equals(verdicts["row_id"]):
        raise RuntimeError("dedup: verdicts are not in the order of the rows; this is a fault of the stage: report it")
    return rows.hstack(verdicts.drop("row_id"))


def _beside_survivors(rows: pl.DataFrame, verdicts: pl.DataFrame, texts: pl.DataFrame, key: str) -> pl.DataFrame:
    """Rows that go, each with its verdict and the words by which it differs from the row that stays for it."""
    told = rows.join(verdicts, on="row_id", how="left", maintain_order="left")
    pairs = told.join(texts, on="survivor_id", how="left", maintain_order="left")
    return told.hstack(first_differing_words(pairs.select("survivor_text", text=compared_text(key))))
