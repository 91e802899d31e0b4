"""Divides rows into those that are clean and those that contain evaluation items, with as many processes as there may be."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from stages.contract import Workbench
from stages.decontaminate.comparison import Compared, Known, compare, decide, know
from stages.decontaminate.eval_files import check_pins
from stages.decontaminate.eval_items import read_eval_set
from stages.decontaminate.stage import DecontaminateParams
from stages.decontaminate.summary import told_of
from stages.errors import ConfigError
from stages.processes.engine import Batch, Workers, here_and_there, rows_of, split_into_batches, worker_pool
from stages.processes.handed_over import hand_over, taken_over
from stages.processes.spool import leave
from stages.raw_files.source_files import SourceFile
from stages.store.locks import private_folder
from stages.store.tables import read_table

ROWS_AT_ONCE = 16_384  # whose texts are in memory
ITEMS = "items.pickle"


def run(  # noqa: PLR0913 - the datasets of the stage
    kept: Path,
    *,
    evals: list[SourceFile] | None = None,
    clean: Path,
    contaminated: Path,
    decontamination: Path,
    params: DecontaminateParams,
    workbench: Workbench,
) -> dict[str, object]:
    """`kept` divided by what its conversations share with the items of `evals`; without evals every row is clean.

    Raises DataError for evaluation files that cannot be read in full or are not the pinned ones, ConfigError where
    `known_clean` names a source that is not there.
    """
    parts = sorted(kept.glob("part-*.parquet"))
    if evals is None:
        for number, part in enumerate(parts):
            leave(pl.scan_parquet(part, glob=False), clean, number)
        return {}
    check_pins(evals, params.pins)
    rows = read_table(kept)
    clean_rows = _known_clean(rows, params.known_clean)
    known = _known(evals, rows, params, workbench)
    decided = decide(list(_compared(kept, known, workbench)), rows, known, clean_rows)
    for number, part in enumerate(parts):
        table, found = pl.scan_parquet(part, glob=False), decided.found.lazy()
        leave(table.join(found, on="row_id", how="anti", maintain_order="left"), clean, number)
        leave(table.join(found, on="row_id", how="inner", maintain_order="left"), contaminated, number)
    leave(decided.decontamination, decontamination, 0)
    return {"told": told_of(decided.decontamination, params.max_false_positive_rate)}


def _known(evals: list[SourceFile], rows: pl.LazyFrame, params: DecontaminateParams, workbench: Workbench) -> Known:
    """The items, ready to be looked for; seconds of large files, so it is told what is done meanwhile."""
    workbench.progress(
        0, 2, "preparations", now=f"reads {len(evals):,} evaluation file{'s' if len(evals) != 1 else ''}"
    )
    items = read_eval_set(evals)
    workbench.progress(1, 2, "preparations", now=f"indexes {len(items.texts):,} texts of their items")
    return know(items, rows, params)


def _compared(kept: Path, known: Known, workbench: Workbench) -> Iterator[Compared]:
    """What the rows have in common with the items, some rows at a time, in any order."""
    batches = split_into_batches(kept, ROWS_AT_ONCE, workbench.workers)
    total, done = sum(batch.rows for batch in batches), 0
    workbench.progress(done, total, "rows", items=len(known.items.texts))
    for compared in _by_all(batches, known, workbench):
        done += compared.rows
        workbench.progress(done, total, "rows")
        yield compared


def _by_all(batches: list[Batch], known: Known, workbench: Workbench) -> Iterator[Compared]:
    here, others = partial(_compare, known), min(workbench.workers, len(batches)) - 1
    if not others:
        yield from map(here, batches)
        return
    if_one_dies = (
        "decontaminate: a process that compared rows with items died, probably killed for memory; "
        "run again with fewer --workers"
    )
    with private_folder(workbench.scratch) as folder, worker_pool(others, if_one_dies) as pool:
        there = partial(_compare_there, hand_over(known, folder / ITEMS))
        yield from here_and_there(Workers(pool, others), ((batch,) for batch in batches), here, there)


def _compare(known: Known, batch: Batch) -> Compared:
    return compare(rows_of(batch).lazy(), known)


def _compare_there(known: Path, batch: Batch) -> Compared:
    return _compare(taken_over(known), batch)


def _known_clean(kept: pl.LazyFrame, sources: list[str]) -> pl.Series:
    """The ids of the rows of these sources."""
    rows = kept.select("row_id", "source").collect()
    if unknown := sorted(set(sources) - set(rows["source"])):
        raise ConfigError(
            f"decontaminate: known_clean names {', '.join(unknown)}, and no row is from there; the sources are "
            f"{', '.join(sorted(set(rows['source']))) or 'none: there are no rows'}; correct the names in the profile"
        )
    return rows.filter(pl.col("source").is_in(sources))["row_id"]
