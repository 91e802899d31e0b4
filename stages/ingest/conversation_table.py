"""Tables of conversations and of what was set aside, built by columns, which is much cheaper than by rows."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.ingest.content_id import content_digests, lists_of
from stages.ingest.conversation import Conversation, Turn
from stages.ingest.request_logs import Half
from stages.ingest.stage import Repair
from stages.ingest.unusable import ADVICE, in_utf8, shown
from stages.raw_files.records import BrokenRecord, Record
from stages.schema import load_schema

ID_WORDS = ("id_high", "id_low")  # the content id, until the whole source is known
SIZE = "bytes"  # tells how much memory the rows of a part will take
FEATURES: dict[str, Any] = {"record": pl.Int64, "tools": pl.String, "task": pl.String, "repairs": pl.List(pl.String),
                            "supervised": pl.List(pl.Boolean), "weight": pl.Float64}  # fmt: skip
TURN_TYPES: dict[str, Any] = dict.fromkeys(Turn._fields, pl.String)


class Columns(NamedTuple):
    """Conversations by column: their turns one after the other, the rest a row for each conversation."""

    turns: pl.DataFrame
    lengths: npt.NDArray[np.int64]  # turns of each conversation
    rows: pl.DataFrame


def columns_of(conversations: Iterable[tuple[int, Conversation]]) -> Columns:
    """(record, conversation) pairs by column."""
    turns: list[Turn] = []
    lengths: list[int] = []
    rows: list[tuple[object, ...]] = []
    for record, conversation in conversations:
        turns.extend(conversation.turns)
        lengths.append(len(conversation.turns))
        repairs = conversation.repairs or None
        told = conversation.tools, conversation.task, repairs, conversation.supervised, conversation.weight
        rows.append((record, *told))
    return Columns(_frame(turns, TURN_TYPES), np.array(lengths, dtype=np.int64), _frame(rows, FEATURES))  # type: ignore[arg-type]


def plain_turns(roles: pl.Series, contents: pl.Series) -> pl.DataFrame:
    """Turns that hold nothing but text."""
    return pl.DataFrame([roles.alias("role"), contents.alias("content")]).with_columns(
        pl.lit(None, dtype=pl.String).alias(name) for name in list(TURN_TYPES)[2:]
    )


def plain_rows(records: pl.Series, tasks: pl.Series | None) -> pl.DataFrame:
    """What conversations have beside their turns, where that is a task at most; an empty one is none."""
    table = pl.DataFrame([records.alias("record")])
    task = pl.when(tasks != "").then(tasks) if tasks is not None else pl.lit(None, dtype=pl.String)
    nothing = [pl.lit(None, dtype=FEATURES[name]).alias(name) for name in ("tools", "repairs", "supervised", "weight")]
    return table.select("record", task.alias("task"), *nothing).select(list(FEATURES))


def _frame(rows: list[tuple[object, ...]], types: dict[str, Any]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return pl.DataFrame([pl.Series(n, values, dtype=types[n]) for n, values in zip(types, columns, strict=True)])


def conversation_table(parts: list[Columns]) -> pl.DataFrame:
    """The content id in two words, the bytes of the texts, messages and FEATURES; rows in the order they are given in."""
    turns = pl.concat([part.turns for part in parts], rechunk=True)
    rows = pl.concat([part.rows for part in parts], rechunk=True)
    ends = np.cumsum(np.concatenate([[0], *(part.lengths for part in parts)]), dtype=np.int64)
    messages = lists_of(turns.to_struct(), ends, "messages")
    words = content_digests(turns, ends, rows["tools"])
    ids = [pl.Series(name, words[:, number].copy(), dtype=pl.UInt64) for number, name in enumerate(ID_WORDS)]
    return pl.DataFrame([*ids, _sizes(turns, ends), rows["record"], messages,
                         *rows.drop("record")])  # fmt: skip


def _sizes(turns: pl.DataFrame, ends: npt.NDArray[np.int64]) -> pl.Series:
    """Bytes of the texts in each conversation's turns."""
    texts = (pl.col(name).str.len_bytes().fill_null(0) for name in TURN_TYPES)
    total = np.concatenate(
        [[0], turns.select(pl.sum_horizontal(texts).cast(pl.Int64).cum_sum()).to_series().to_numpy()]
    )
    return pl.Series(SIZE, np.diff(total[ends]), dtype=pl.Int64)


class Quarantined:
    """Gathers what was set aside."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int | None, str | None, str], tuple[int | None, int, str, str | None, str]] = {}

    def add(self, record: Record | BrokenRecord, reason: str, field: str | None = None, found: str = "") -> None:
        """One row for each fault; several conversations of a record may share one."""
        row = (record.index, record.byte_offset, reason, field, found)
        self._rows.setdefault((record.index, field, reason), row)

    def table(self) -> pl.DataFrame:
        """All columns of `quarantined` but those that name the file."""
        if not self._rows:
            return _none_quarantined()
        rows = [(*row, *ADVICE[row[2]]) for row in self._rows.values()]
        table = pl.DataFrame(rows, schema=_none_quarantined().schema, orient="row")
        return table.with_columns(found=shown(table["found"]))


class Halves:
    """Gathers requests and answers whose other half may stand in another file."""

    def __init__(self) -> None:
        self._aside = Quarantined()
        self._ids: list[str] = []
        self._values: list[str] = []
        self._repairs: list[list[Repair]] = []  # what was done to read each

    def add(self, record: Record, half: Half, repairs: Iterable[Repair]) -> None:
        self._aside.add(record, half.reason, half.field, half.found)
        self._ids.append(in_utf8(half.custom_id))
        self._values.append(json.dumps(record.value))
        self._repairs.append(list(repairs))

    def table(self) -> pl.DataFrame | None:
        """What is set aside of them if the other half is nowhere, and their ids and values; None where there are none."""
        if not self._ids:
            return None
        repairs = pl.Series("repairs", self._repairs, dtype=pl.List(pl.String))
        texts = pl.Series("custom_id", self._ids), pl.Series("value", self._values)
        return self._aside.table().with_columns(*texts, repairs)


@cache
def _none_quarantined() -> pl.DataFrame:
    schema = load_schema("quarantined").dtypes
    names = ("record", "byte_offset", "reason", "field", "found", "expected", "fix")
    return pl.DataFrame(schema={name: schema[name] for name in names})
