"""How many rows each stage let through and set aside, and whether that adds up."""

from typing import NamedTuple

import polars as pl

from stages.store.queries import Tables, count_by, count_rows


class Decision(NamedTuple):
    """A stage that divides the rows of `reads` into those of `keeps` and those of `sets_aside`."""

    stage: str
    reads: tuple[str, ...]  # any of them: all have the same rows; none for what comes from outside
    keeps: str
    sets_aside: str


DECISIONS = (
    Decision("ingest", (), "conversations", "quarantined"),
    Decision("dedup", ("conversations",), "unique", "duplicates"),
    Decision(
        "filter", ("unique", "scored", "rated"), "kept", "rejected"
    ),  # score and rate put columns beside rows, and no row aside
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


def steps_of(tables: Tables) -> list[Step]:
    """The decisions whose kept rows were given, in the order of the pipeline."""
    return [_step(decision, tables) for decision in DECISIONS if decision.keeps in tables]


def _step(decision: Decision, tables: Tables) -> Step:
    given = [name for name in decision.reads if name in tables]
    aside = decision.sets_aside
    return Step(
        decision,
        entered=count_rows(rows_of(given[0], tables)) if given else None,
        kept=count_rows(rows_of(decision.keeps, tables)),
        set_aside=count_rows(rows_of(aside, tables)) if aside in tables else None,
        reasons=count_by(tables[aside], "reason") if aside in tables else {},
    )


def rows_of(name: str, tables: Tables) -> pl.LazyFrame:
    """What is counted in a table: a conversation unrolled into several examples, or a record with two faults, is one."""
    if name == "examples":
        return tables[name].select("row_id", "source").unique("row_id")
    if name == "quarantined":
        read = tables[name].filter(pl.col("record").is_not_null())  # no number: not one record of the file was read
        return read.select("source", "file", "record").unique()
    return tables[name]


class Files(NamedTuple):
    """The files that rows came from, and how many of them gave nothing."""

    read: int
    unread: int


def files_of(tables: Tables) -> Files:
    """Files with at least one record that was read, sound or not, and files of which no record could be read."""
    places = pl.col("source", "file")
    rows = [tables["conversations"].select(places)] if "conversations" in tables else []
    unread = 0
    if "quarantined" in tables:
        is_file = pl.col("record").is_null()
        rows.append(tables["quarantined"].filter(~is_file).select(places))
        unread = count_rows(tables["quarantined"].filter(is_file).select(places).unique())
    return Files(count_rows(pl.concat(rows).unique()) if rows else 0, unread)
