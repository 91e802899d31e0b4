"""How many rows each stage let through and set aside, and whether that adds up."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from stages.report.datasets import Tables, count_by, count_rows


class Decision(NamedTuple):
    """A stage that divides the rows of `reads` into those of `keeps` and those of `sets_aside`."""

    stage: str
    reads: tuple[str, ...]  # any of them: all have the same rows; none for what comes from outside
    keeps: str
    sets_aside: str


DECISIONS = (
    Decision("ingest", (), "conversations", "quarantined"),
    Decision("dedup", ("conversations",), "unique", "duplicates"),
    Decision("filter", ("unique", "scored"), "kept", "rejected"),  # score puts columns beside rows, and no row aside
    Decision("decontaminate", ("kept",), "clean", "contaminated"),
    Decision("mix", ("clean",), "mixture", "left_out"),
    Decision("tokenize", ("mixture",), "examples", "refused"),
)


class Step(NamedTuple):
    """One decision in numbers; None where its dataset was not given, or where there is nothing to count."""

    decision: Decision
    entered: int | None
    kept: int
    set_aside: int | None
    reasons: dict[str, int]

    @property
    def unaccounted(self) -> int | None:
        """Rows that entered and are in neither outcome: 0 when the ledger balances, None when it cannot be told."""
        if self.entered is None or self.set_aside is None:
            return None
        return self.entered - self.kept - self.set_aside


class Source(NamedTuple):
    """What became of one source: records that ingest could not use, conversations, and those left at the end."""

    name: str
    quarantined: int
    conversations: int
    left: int

    @property
    def share(self) -> float:
        return self.left / self.conversations if self.conversations else 0.0


def steps_of(tables: Tables) -> list[Step]:
    """The decisions whose kept rows were given, in the order of the pipeline."""
    return [_step(decision, tables) for decision in DECISIONS if decision.keeps in tables]


def _step(decision: Decision, tables: Tables) -> Step:
    given = [name for name in decision.reads if name in tables]
    aside = decision.sets_aside
    return Step(
        decision,
        entered=count_rows(_rows_of(given[0], tables)) if given else None,
        kept=count_rows(_rows_of(decision.keeps, tables)),
        set_aside=count_rows(_rows_of(aside, tables)) if aside in tables else None,
        reasons=count_by(tables[aside], "reason") if aside in tables else {},
    )


def _rows_of(name: str, tables: Tables) -> pl.LazyFrame:
    """What is counted in a table: a conversation unrolled into several examples, or a record with two faults, is one."""
    if name == "examples":
        return tables[name].select("row_id", "source").unique("row_id")
    if name == "quarantined":
        read = tables[name].filter(pl.col("record").is_not_null())  # no number: not one record of the file was read
        return read.select("source", "file", "record").unique()
    return tables[name]


def unread_files(tables: Tables) -> int:
    """Files of which no record could be read."""
    if "quarantined" not in tables:
        return 0
    return count_rows(tables["quarantined"].filter(pl.col("record").is_null()).select("source", "file").unique())


def sources_of(tables: Tables, steps: Sequence[Step]) -> list[Source]:
    """Each source with its conversations left after the last of `steps`, largest first."""
    if "conversations" not in tables:
        return []
    names = ("quarantined", "conversations", steps[-1].decision.keeps)
    counted = [count_by(_rows_of(name, tables), "source") if name in tables else {} for name in names]
    sources = [Source(name, *(rows.get(name, 0) for rows in counted)) for name in {*counted[0], *counted[1]}]
    return sorted(sources, key=lambda source: (-source.conversations, source.name))
