"""Records of one file to conversations and to what is set aside; pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from stages.ingest.content_id import content_id
from stages.ingest.conversation import Conversation, Rules, Turn
from stages.ingest.dialects import Dialects
from stages.ingest.stage import IngestParams
from stages.ingest.unusable import ADVICE, Unusable, shortened
from stages.records import BrokenRecord, Record
from stages.schema import load_schema
from stages.source_files import SourceFile


class Ingested(NamedTuple):
    """Rows in the order of their records; `conversations` lacks `row_id`, which takes all files together."""

    conversations: pl.DataFrame
    quarantined: pl.DataFrame
    dialects: Counter[str]  # records by dialect


def transform(records: Iterable[Record | BrokenRecord], *, file: SourceFile, params: IngestParams) -> Ingested:
    """What the records of `file` hold; each is decided on its own and stands in at least one of the tables."""
    dialects, rules = Dialects(params.columns), Rules(params)
    conversations, quarantined, counts = _Conversations(), _Quarantined(), Counter[str]()
    for record in records:
        if isinstance(record, BrokenRecord):
            quarantined.add(record, record.reason, found=shortened(record.detail))
            continue
        try:
            value = as_object(record.value)
            dialect = dialects.of(value)
            counts[dialect.name] += 1
            for made in dialect.read(value, rules):
                unusable = made if isinstance(made, Unusable) else conversations.add(record.index, made)
                if unusable:
                    quarantined.add(record, unusable.reason, unusable.field, unusable.found)
        except Unusable as unusable:
            quarantined.add(record, unusable.reason, unusable.field, unusable.found)
        except RecursionError:  # the JSON writer follows less deep than the reader did
            quarantined.add(record, "nested_too_deep")
    return Ingested(conversations.table(file), quarantined.table(file), counts)


def as_object(value: object) -> dict[str, Any]:
    """A record as fields: a plain document is a field `text`, a list of messages is a field `messages`."""
    match value:
        case dict():
            return value
        case str():
            return {"text": value}
        case [dict(), *_]:
            return {"messages": value}
        case _:
            raise Unusable("not_an_object", None, value)


class _Conversations:
    """Gathers columns instead of rows, which makes a table of them cheap."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._ends = [0]
        self._rows: list[tuple[str, int, str | None, str | None, tuple[str, ...] | None]] = []

    def add(self, record: int, conversation: Conversation) -> Unusable | None:
        """Takes the conversation, or says why it cannot."""
        try:
            identity = content_id(conversation)
        except Unusable as unusable:
            return unusable
        self._turns.extend(conversation.turns)
        self._ends.append(len(self._turns))
        self._rows.append((identity, record, conversation.tools, conversation.task, conversation.repairs or None))
        return None

    def table(self, file: SourceFile) -> pl.DataFrame:
        """All columns of `conversations` but `row_id`."""
        schema = load_schema("conversations").dtypes
        names = ("content_id", "record", "tools", "task", "repairs")
        columns = (
            dict(zip(names, zip(*self._rows, strict=True), strict=True)) if self._rows else dict.fromkeys(names, ())
        )
        table = pl.DataFrame([pl.Series(name, columns[name], dtype=schema[name]) for name in names])
        with_messages = table.with_columns(self._messages().cast(schema["messages"]), *_origin(file))
        return with_messages.select(name for name in schema if name != "row_id")

    def _messages(self) -> pl.Series:
        """Polars arrays handed to Arrow, which can put lists together; arrays made by Arrow would import pandas."""
        fields = list(zip(*self._turns, strict=True)) or [()] * len(Turn._fields)
        texts = [pl.Series(values, dtype=pl.String).to_arrow() for values in fields]
        structs = pa.StructArray.from_arrays(texts, names=Turn._fields)
        return pl.Series(
            "messages", pa.LargeListArray.from_arrays(pl.Series(self._ends, dtype=pl.Int64).to_arrow(), structs)
        )


class _Quarantined:
    def __init__(self) -> None:
        self._rows: dict[tuple[int | None, str | None, str], tuple[int | None, int, str, str | None, str]] = {}

    def add(self, record: Record | BrokenRecord, reason: str, field: str | None = None, found: str = "") -> None:
        """One row for each fault; several conversations of a record may share one."""
        row = (record.index, record.byte_offset, reason, field, found)
        self._rows.setdefault((record.index, field, reason), row)

    def table(self, file: SourceFile) -> pl.DataFrame:
        schema = load_schema("quarantined").dtypes
        names = ("record", "byte_offset", "reason", "field", "found")
        rows = [(*row, *ADVICE[row[2]]) for row in self._rows.values()]
        given = {name: schema[name] for name in (*names, "expected", "fix")}
        return pl.DataFrame(rows, schema=given, orient="row").with_columns(_origin(file)).select(list(schema))


def _origin(file: SourceFile) -> list[pl.Expr]:
    """The columns that say where a row comes from; file names need not be UTF-8."""
    source, name = (text.encode("utf-8", "backslashreplace").decode() for text in (file.source, file.name))
    digest = pl.lit(file.sha256 or None, dtype=pl.String)
    return [pl.lit(source).alias("source"), pl.lit(name).alias("file"), digest.alias("file_sha256")]
