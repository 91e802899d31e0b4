"""What happened to the rows between two snapshots: which came, which went and why, which say something else now.

Rows are the same when their row ids are: the same content from the same source. Ids are joined first, on two columns;
texts are read only of the few rows that are shown.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from stages.comparisons.snapshots import SET_ASIDE, Snapshot
from stages.measures.data_shift import Shift, shift_between
from stages.store.queries import count_rows, fetch

PLACE = ("source", "file", "record")
TOLD_BESIDE = ("split", "repeats", "task")  # columns that may differ while the row is the same
UNKNOWN = "not known"


class Count(NamedTuple):
    source: str
    reason: str
    rows: int


class Retold(NamedTuple):
    """Rows that are in both snapshots with another value in one column."""

    column: str
    before: str
    after: str
    rows: int


class Moves(NamedTuple):
    """Rows of one direction: source, reason and row id of each, in the order of their ids."""

    rows: pl.DataFrame

    @property
    def counts(self) -> list[Count]:
        """By source and reason, most frequent first."""
        counted = self.rows.group_by("source", "reason").agg(rows=pl.len())
        return [
            Count(*row) for row in counted.sort(["rows", "source", "reason"], descending=[True, False, False]).rows()
        ]


class Difference(NamedTuple):
    """`out` rows are only in the first snapshot, `came` only in the second; `changed` pairs stand at the same place."""

    before: Snapshot
    after: Snapshot
    before_rows: int
    after_rows: int
    out: Moves
    came: Moves
    changed: pl.DataFrame  # source, file, record, row_id, row_id_after
    retold: list[Retold]
    shift: Shift

    @property
    def same_rows(self) -> int:
        return self.before_rows - self.out.rows.height - self.changed.height


def compare(before: Snapshot, after: Snapshot) -> Difference:
    """Everything that differs between two snapshots. Reasons are found where the set-aside tables are known."""
    out, came = _only_in(before, after), _only_in(after, before)
    changed = _at_the_same_place(_unknown_to(after, out), _unknown_to(before, came))
    out = out.join(changed, on="row_id", how="anti")
    came = came.join(changed, left_on="row_id", right_on="row_id_after", how="anti")
    return Difference(
        before, after, count_rows(before.rows), count_rows(after.rows),
        Moves(_explained(out, after, ("file gone", "record gone"))),
        Moves(_explained(came, before, ("new file", "new record"), "was ")),
        changed, _retold(before, after), shift_between(before.rows, after.rows),
    )  # fmt: skip


def _only_in(one: Snapshot, other: Snapshot) -> pl.DataFrame:
    ids = fetch(one.rows.select("row_id").join(other.rows.select("row_id"), on="row_id", how="anti"))
    return fetch(one.rows.select("row_id", *PLACE).join(ids.lazy(), on="row_id", how="semi")).sort("row_id")


def _unknown_to(snapshot: Snapshot, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` that the snapshot does not come from. One that it does is not changed, though another stands at its place.

    Records move when one is put in or taken out before them; then every place of the file holds another row.
    """
    known = snapshot.table("conversations")
    return rows if known is None else fetch(rows.lazy().join(known.select("row_id"), on="row_id", how="anti"))


def _at_the_same_place(out: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """Pairs of a row that went and one that came where one record says something else; not where a place is no place."""
    alone = [side.filter((pl.col("file") != "") & pl.struct(PLACE).is_unique()) for side in (out, came)]
    pairs = alone[0].join(alone[1], on=PLACE, suffix="_after")
    return pairs.select(*PLACE, "row_id", "row_id_after").sort("row_id")


def _explained(rows: pl.DataFrame, other: Snapshot, absent: tuple[str, str], was: str = "") -> pl.DataFrame:
    """`rows` with the reason why they are not in `other`; `absent` names a file, then a record, that it never had."""
    ids = rows.lazy().select("row_id")
    found = [_reasons(table.join(ids, on="row_id", how="semi"), name) for name in SET_ASIDE
             if (table := _with_row_ids(other, name)) is not None]  # fmt: skip
    empty = pl.DataFrame(schema={"row_id": pl.String, "reason": pl.String})
    reasons = pl.concat([empty, *found]).unique("row_id", keep="last", maintain_order=True)
    told = rows.join(reasons, on="row_id", how="left").join(_faults(other), on=PLACE, how="left", nulls_equal=True)
    known = _known_rows(other)
    if known is None:
        return _finished(told, was, pl.lit(UNKNOWN))
    ids_known, files = known
    told = told.join(ids_known, on="row_id", how="left").join(files, on=("source", "file"), how="left")
    missing = pl.when(pl.col("has_file")).then(pl.lit(absent[1])).otherwise(pl.lit(absent[0]))
    return _finished(
        told, was, pl.when(pl.col("is_known")).then(pl.lit(f"{was}not in this dataset")).otherwise(missing)
    )


def _finished(told: pl.DataFrame, was: str, otherwise: pl.Expr) -> pl.DataFrame:
    reason = pl.coalesce(pl.lit(was) + pl.coalesce("reason", "fault"), otherwise)
    return told.select("row_id", *PLACE, reason=reason).sort("row_id")


def _with_row_ids(snapshot: Snapshot, name: str) -> pl.LazyFrame | None:
    table = snapshot.table(name)
    return table if table is not None and "row_id" in table.collect_schema().names() else None


def _reasons(rows: pl.LazyFrame, dataset: str) -> pl.DataFrame:
    return fetch(rows.select("row_id", reason=pl.lit(f"{dataset}: ") + pl.col("reason")))


def _faults(snapshot: Snapshot) -> pl.DataFrame:
    """The first fault of each record that ingest set aside."""
    table = snapshot.table("quarantined")
    if table is None:
        return pl.DataFrame(schema={"source": pl.String, "file": pl.String, "record": pl.Int64, "fault": pl.String})
    faults = table.select(*PLACE, fault=pl.lit("quarantined: ") + pl.col("reason"))
    return fetch(faults.group_by(PLACE).agg(pl.col("fault").min()))


def _known_rows(snapshot: Snapshot) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """The ids and the files of all rows that the snapshot came from; None where that is not known."""
    table = snapshot.table("conversations")
    if table is None:
        return None
    ids = fetch(table.select("row_id", is_known=pl.lit(value=True)))
    return ids, fetch(table.select("source", "file", has_file=pl.lit(value=True)).unique())


def _retold(before: Snapshot, after: Snapshot) -> list[Retold]:
    """What is told of the same rows otherwise than before, by column and values."""
    columns = [set(side.rows.collect_schema().names()) for side in (before, after)]
    shared = [name for name in TOLD_BESIDE if all(name in side for side in columns)]
    if not shared:
        return []
    told = [side.rows.select("row_id", *(pl.col(name).cast(pl.String) for name in shared)) for side in (before, after)]
    both = told[0].join(told[1], on="row_id", suffix="_after")
    return [row for name in shared for row in _retold_column(both, name)]


def _retold_column(both: pl.LazyFrame, name: str) -> Sequence[Retold]:
    differing = both.filter(pl.col(name).ne_missing(pl.col(f"{name}_after")))
    values = [pl.col(column).fill_null("none").alias(column) for column in (name, f"{name}_after")]
    counted = fetch(differing.group_by(values).agg(rows=pl.len())).sort(
        ["rows", name, f"{name}_after"], descending=[True, False, False]
    )
    return [Retold(name, *row) for row in counted.rows()]
