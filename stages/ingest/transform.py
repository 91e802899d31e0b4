"""Records of one file to conversations and to what is set aside; pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import polars as pl

from stages.byte_stream import Damage
from stages.ingest.conversation import Conversation, Rules, refuse_unwritable
from stages.ingest.conversation_table import Quarantined, columns_of, conversation_table
from stages.ingest.dialects import Dialects
from stages.ingest.pairs import Shape, read_alike, shape_of
from stages.ingest.stage import IngestParams
from stages.ingest.unusable import Unusable, shortened
from stages.json_blocks import Block
from stages.records import BrokenRecord, Found, Record


class Ingested(NamedTuple):
    """Rows that still lack what says where they come from; `record` counts from the first record that was given."""

    conversations: pl.DataFrame
    quarantined: pl.DataFrame
    records: int
    dialects: Counter[str]  # records by dialect


class Transform:
    """Decides over records, each on its own; records in equal form share what is known of their form."""

    def __init__(self, params: IngestParams) -> None:
        self.dialects, self.rules = Dialects(params.columns), Rules(params)
        self._shape: Shape | None = None  # of the last block; a block of another shape is told from its first record

    def block(self, block: Block) -> Ingested:
        """What the records of a block hold: the same as `found` for each of them, and faster where they are alike."""
        shape = self._shape or self._shape_of(block)
        alike = read_alike(block, shape, self.rules) if shape else None
        if not shape or not alike or not alike.columns.lengths:
            self._shape = None
            return self.found([(offset, block.value(element)) for offset, element in block.elements()])
        self._shape = shape
        made, quarantined, counts = self._convert([_record(n, 0, value) for n, value in alike.left])
        aside = quarantined.table()
        if aside.height:
            offsets = pl.Series(block.offsets(alike.records), dtype=pl.Int64)
            aside = aside.with_columns(byte_offset=offsets.gather(aside["record"]))
        counts[shape.dialect.name] += len(alike.columns.lengths)
        return Ingested(conversation_table([alike.columns, columns_of(made)]), aside, alike.records, counts)

    def found(self, found: Iterable[Found]) -> Ingested:
        """What records that were read one at a time hold."""
        records = [_record(number, offset, value) for number, (offset, value) in enumerate(found)]
        made, quarantined, counts = self._convert(records)
        return Ingested(conversation_table([columns_of(made)]), quarantined.table(), len(records), counts)

    def fault(self, fault: BrokenRecord) -> Ingested:
        """What is wrong with a file as a whole."""
        made, quarantined, counts = self._convert([fault])
        return Ingested(conversation_table([columns_of(made)]), quarantined.table(), 0, counts)

    def _shape_of(self, block: Block) -> Shape | None:
        first = next(block.elements(), None)
        return shape_of(block.value(first[1]), self.dialects) if first else None

    def _convert(
        self, records: Iterable[Record | BrokenRecord]
    ) -> tuple[list[tuple[int, Conversation]], Quarantined, Counter[str]]:
        made, quarantined, counts = list[tuple[int, Conversation]](), Quarantined(), Counter[str]()
        for record in records:
            if isinstance(record, BrokenRecord):
                quarantined.add(record, record.reason, found=shortened(record.detail))
                continue
            try:
                value = as_object(record.value)
                dialect = self.dialects.of(value)
                counts[dialect.name] += 1
                for one in dialect.read(value, self.rules):
                    if isinstance(one, Unusable):
                        quarantined.add(record, one.reason, one.field, one.found)
                    else:
                        _add(made, record, one, quarantined)
            except Unusable as unusable:
                quarantined.add(record, unusable.reason, unusable.field, unusable.found)
            except RecursionError:  # the JSON writer follows less deep than the reader did
                quarantined.add(record, "nested_too_deep")
        return made, quarantined, counts


def _add(
    made: list[tuple[int, Conversation]], record: Record, conversation: Conversation, quarantined: Quarantined
) -> None:
    try:
        refuse_unwritable(conversation)
        made.append((record.index, conversation))
    except Unusable as unusable:
        quarantined.add(record, unusable.reason, unusable.field, unusable.found)


def _record(number: int, offset: int, value: object) -> Record | BrokenRecord:
    if isinstance(value, Damage):
        return BrokenRecord(number, offset, value.reason, value.detail)
    return Record(number, offset, value)


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
