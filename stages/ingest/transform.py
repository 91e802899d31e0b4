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
from stages.ingest.unusable import ADVICE, Unusable
from stages.records import BrokenRecord, Record
from stages.schema import load_schema
from stages.source_files import SourceFile

TEXT = pa.large_string()


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
            quarantined.add(record, record.reason, None, record.detail)
            continue
        try:
            value = as_object(record.value)
            dialect = dialects.of(value)
            counts[dialect.name] += 1
            for found in dialect.read(value, rules):
                if isinstance(found, Conversation):
                    conversations.add(record.index, found)
                else:
                    quarantined.add(record, found.reason, found.field, found.found)
        except Unusable as unusable:
            quarantined.add(record, unusable.reason, unusable.field, unusable.found)
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

    def add(self, record: int, conversation: Conversation) -> None:
        identity = content_id(conversation)
        self._turns.extend(conversation.turns)
        self._ends.append(len(self._turns))
        self._rows.append((identity, record, conversation.tools, conversation.task, conversation.repairs or None))

    def table(self, file: SourceFile) -> pl.DataFrame:
        """All columns of `conversations` but `row_id`."""
        schema = load_schema("conversations").dtypes
        names = ("content_id", "record", "tools", "task", "repairs")
        columns = dict(zip(names, zip(*self._rows, strict=True), strict=True)) if self._rows else dict.fromkeys(names, ())
        table = pl.DataFrame([pl.Series(name, columns[name], dtype=schema[name]) for name in names])
        with_messages = table.with_columns(self._messages().cast(schema["messages"]), *_origin(file))
        return with_messages.select(name for name in schema if name != "row_id")

    def _messages(self) -> pl.Series:
        fields = list(zip(*self._turns, strict=True)) or [()] * len(Turn._fields)
        structs = pa.StructArray.from_arrays([pa.array(values, TEXT) for values in fields], names=Turn._fields)
        lists = pa.LargeListArray.from_arrays(pa.array(self._ends, pa.int64()), structs)
        return pl.Series("messages", lists)


class _Quarantined:
    def __init__(self) -> None:
        self._rows: dict[tuple[int | None, str | None, str], tuple[int | None, int, str, str | None, str]] = {}

    def add(self, record: Record | BrokenRecord, reason: str, field: str | None, found: str) -> None:
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
