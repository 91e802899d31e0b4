"""Rows that wait to be sorted and written: left by whoever makes them, read together by whoever seals the dataset."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from stages.schema import Schema


def write_spool(tables: Mapping[str, pl.DataFrame | pl.LazyFrame], spool: Path, number: int = 0) -> None:
    """Leaves each table in a folder of its name."""
    for name, table in tables.items():
        leave(table, spool / name, number)


def leave(table: pl.DataFrame | pl.LazyFrame, folder: Path, number: int) -> None:
    """Leaves rows where `scan_spool` finds them; a lazy table is never whole in memory.

    Whoever leaves them in the order of their keys spares a sort.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # As it lies in memory: to pack it takes four times as long as to write it.
    table.lazy().sink_ipc(folder / f"spool-{number:06d}.arrow", compression="uncompressed", maintain_order=True)


def scan_spool(folder: Path, schema: Schema) -> pl.LazyFrame:
    """All rows that were left for one output, by `leave` or as Parquet files."""
    if spooled := sorted(folder.glob("spool-*.arrow")):
        return pl.scan_ipc(spooled, glob=False)
    files = sorted(folder.glob("*.parquet"))
    return pl.scan_parquet(files, glob=False) if files else schema.empty().lazy()
