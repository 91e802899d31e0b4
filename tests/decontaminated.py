"""Runs decontaminate on rows in memory."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

from stages.decontaminate.job import run
from stages.decontaminate.stage import STAGE, DecontaminateParams
from stages.processes.spool import scan_spool
from stages.raw_files.source_files import SourceFile
from stages.schema import load_schema
from stages.store.tables import write_table
from workbench import lend


class Decontaminated(NamedTuple):
    """What the stage made."""

    clean: pl.DataFrame
    contaminated: pl.DataFrame
    decontamination: pl.DataFrame
    told: list[str]


def decontaminated(
    kept: pl.DataFrame, evals: list[SourceFile] | None, *, workers: int = 1, **params: object
) -> Decontaminated:
    """What comes out of `kept`."""
    with TemporaryDirectory() as folder:
        given, spools = Path(folder) / "kept", {name: Path(folder) / name for name in STAGE.outputs}
        given.mkdir()
        write_table(kept.lazy(), load_schema("kept"), given)
        bench = replace(lend(Path(folder) / "scratch"), workers=workers)
        facts: dict[str, Any] = run(
            given, evals=evals, **spools, params=DecontaminateParams.model_validate(params), workbench=bench
        )
        tables = [scan_spool(spool, load_schema(name)).collect() for name, spool in spools.items()]
        return Decontaminated(*tables, facts.get("told", []))
