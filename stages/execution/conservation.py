"""No row is lost without a reason: the rows a stage reads are those it keeps and those it sets aside, each once."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from stages.contract import Stage
from stages.errors import DataError
from stages.store.tables import read_table

SHOWN = 5


def check_conservation(stage: Stage, decided: Path, outputs: Mapping[str, Path]) -> None:
    """Raises DataError, naming ids, when a deciding stage lost a row, made one up, or decided one twice."""
    if not stage.keeps or not stage.sets_aside:
        return
    before = _ids(decided)
    kept, aside = _ids(outputs[stage.keeps]), _ids(outputs[stage.sets_aside])
    if kept.merge_sorted(aside, "row_id").equals(before):
        return  # a million ids are compared in a tenth of the time that tells what is wrong with them
    decided_rows = pl.concat([kept, aside])
    faults = {
        "lost": before.join(decided_rows, on="row_id", how="anti"),
        "made up": decided_rows.join(before, on="row_id", how="anti"),
        "both kept and set aside": kept.join(aside, on="row_id", how="semi"),
    }
    told = [f"{ids.height:,} {fault} ({_named(ids)})" for fault, ids in faults.items() if ids.height]
    if told:
        raise DataError(
            f"stage {stage.name} does not balance: of {before.height:,} rows in {stage.decided}, {'; '.join(told)}; "
            f"each must be in {stage.keeps} or in {stage.sets_aside}: mend stages/{stage.name}"
        )


def _ids(folder: Path) -> pl.DataFrame:
    """Each id once, rising; several rows of one id lie side by side."""
    row_id = pl.col("row_id")
    return read_table(folder).select("row_id").filter(row_id.ne_missing(row_id.shift())).collect()


def _named(ids: pl.DataFrame) -> str:
    first = ids.get_column("row_id").sort().head(SHOWN).to_list()
    return ", ".join(first) + (" …" if ids.height > SHOWN else "")
