"""Records of one file to conversations and to what is set aside; pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import polars as pl

from stages.ingest.alike import Alike, Kind, Shape, kind_of, read_block, read_rows, shape_of
from stages.ingest.annotations import has_responses
from stages.ingest.conversation import Conversation, Rules, refuse_unsafe
from stages.ingest.conversation_table import Halves, Quarantined, columns_of, conversation_table
from stages.ingest.dialects import TREE_FRAGMENT, Dialects
from stages.ingest.flat import weight_of
from stages.ingest.fragments import ROOT_FIELD, Fragment, assembled
from stages.ingest.records_within import NO_RECORD, TOLD_IN, records_within, unwrapped
from stages.ingest.request_logs import Half
from stages.ingest.stage import IngestParams, Repair
from stages.ingest.templates import Templates, TemplateSet, chosen, convert_by_template
from stages.ingest.trees import tree_conversations
from stages.ingest.unread import unread_fields
from stages.ingest.unusable import Unusable, in_utf8, place_of
from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_blocks import Block
from stages.raw_files.json_repairs import Mended
from stages.raw_files.records import BrokenRecord, Found, Record
from stages.raw_files.source_files import SourceFile

MIN_BYTES_TOGETHER, MIN_ROWS_TOGETHER = 1 << 14, 32  # fewer cost less one at a time: of thousands of tiny files

MAX_WRAPPERS = 3  # around a record, each within the one before
INDEX = re.compile(r"\[\d+\]")


class Ingested(NamedTuple):
    """Rows that still lack what says where they come from; `record` counts from the first record that was given."""

    conversations: pl.DataFrame
    quarantined: pl.DataFrame
    records: int
    dialects: Counter[str]  # records by dialect
    fragments: list[Fragment]  # messages of trees, which take the whole file
    halves: pl.DataFrame | None = None  # requests and answers that may be joined, as they are set aside if they are not
    unread: Mapping[str, int] = {}  # field -> records whose text there no conversation holds


class Transform:
    """Decides over records, each on its own; records in equal form share what is known of their form."""

    def __init__(self, params: IngestParams, file: SourceFile | None = None) -> None:
        self.templates = Templates(params.templates, file)
        self.dialects, self.rules = Dialects(params.columns), Rules(params)
        self._shape: Shape | None = None  # of the last block; a block of another shape is told from its first record

    def block(self, block: Block) -> Ingested:
        """What the records of a block hold: the same as `each` of them, and faster where they are alike."""
        is_short = len(block.data) < MIN_BYTES_TOGETHER
        shape = None if is_short or self.templates.sets else self._shape or self._shape_of(block)
        alike = read_block(block, shape, self.rules) if shape else None
        if not shape or not alike or not len(alike.columns.lengths):
            self._shape = None
            return self.found([(offset, block.value(element)) for offset, element in block.elements()])
        self._shape = shape
        return self._completed(alike, shape.kind, lambda: block.offsets(alike.records))

    def found(self, found: Sequence[Found]) -> Ingested:
        """What records that were read already hold: the same as `each` of them, and faster where they are alike."""
        is_short = len(found) < max(1, MIN_ROWS_TOGETHER)
        kind = None if is_short or self.templates.sets else kind_of(found[0][1], self.dialects)
        alike = read_rows(found, kind, self.rules) if kind else None
        if not kind or not alike or not len(alike.columns.lengths):
            return self.each(found)
        return self._completed(alike, kind, lambda: [offset for offset, _ in found])

    def each(self, found: Sequence[Found]) -> Ingested:
        """What records hold, each looked at by itself."""
        return self.several([found])[0]

    def several(self, units: Sequence[Block | Sequence[Found] | BrokenRecord]) -> list[Ingested]:
        """What each of some units holds, a fault of a file being one; each record is looked at by itself."""
        records = [_records(unit) for unit in units]
        read = [0 if isinstance(unit, BrokenRecord) else len(some) for unit, some in zip(units, records, strict=True)]
        return _tables([self._convert(some) for some in records], read)

    def _completed(self, alike: Alike, kind: Kind, offsets_of_all: Callable[[], list[int]]) -> Ingested:
        """Those that are alike, and the others one at a time."""
        made = self._convert([_record(n, 0, value) for n, value in alike.left])
        aside = made.quarantined.table()
        fragments = made.fragments
        halves = made.halves.table()
        if aside.height or fragments or halves is not None:
            offsets = offsets_of_all()
            starts = pl.Series(offsets, dtype=pl.Int64)
            aside = aside.with_columns(byte_offset=starts.gather(aside["record"]))
            halves = None if halves is None else halves.with_columns(byte_offset=starts.gather(halves["record"]))
            fragments = [fragment._replace(byte_offset=offsets[fragment.record]) for fragment in fragments]
        made.dialects[kind.dialect.name] += len(alike.columns.lengths)
        table = conversation_table([alike.columns, columns_of(made.conversations)])
        return Ingested(table, aside, alike.records, made.dialects, fragments, halves, made.unread + alike.unread)

    def fault(self, fault: BrokenRecord) -> Ingested:
        """What is wrong with a file as a whole."""
        return self.several([fault])[0]

    def trees(self, fragments: Iterable[Fragment]) -> Ingested:
        """The conversations of all messages of a file that name the message they reply to.

        A conversation is that of the record with its last message; a message that is at no conversation's end counts
        as part of the others. What is at fault is told of the message that it is found in.
        """
        trees, orphans = assembled(fragments)
        made = _Made(self.rules)
        for fragment, reason, field in orphans:
            made.set_aside(_as_record(fragment), Unusable(reason, field, fragment.message.get(field)))
        for tree in trees:
            made.dialects["oasst_flat"] += len(tree.records)
            names = dict(_places(tree.root))
            for places, one in tree_conversations(ROOT_FIELD, tree.root, self.rules).items():
                if isinstance(one, Unusable):
                    place = next(
                        (place for place in reversed(places) if (one.field or "").startswith(place)), places[-1]
                    )
                    one.field = (one.field or "").removeprefix(place).lstrip(".") or None
                    made.set_aside(_as_record(tree.records[names[place]]), one)
                else:
                    repairs = [repair for place in places for repair in tree.records[names[place]].repairs]
                    made.add(_as_record(tree.records[names[places[-1]]]), one, repairs)
        return _tables([made], [0])[0]

    def _weight_beside(self, prompts: TemplateSet, value: Mapping[str, Any]) -> str | None:
        """The field with the weight of a record; a field that the templates show is data."""
        field = self.dialects.weight_field(value)
        return None if field in prompts.fields else field

    def _shape_of(self, block: Block) -> Shape | None:
        first = next(block.elements(), None)
        return shape_of(block.value(first[1]), self.dialects) if first else None

    def _convert(self, records: Iterable[Record | BrokenRecord]) -> "_Made":
        made = _Made(self.rules)
        for record in records:
            if isinstance(record, BrokenRecord):
                made.quarantined.add(record, record.reason, found=in_utf8(record.detail))
                continue
            if isinstance(record.value, Mended) and not self.rules.allowed.issuperset(record.value.repairs):
                made.quarantined.add(record, record.value.reason, found=in_utf8(record.value.fault))
                continue
            try:
                for place, value in records_within(record.value):
                    self._read(record, place, value, made)
            except Half as half:
                made.halves.add(record, half, repairs_of(record.value))
            except Unusable as unusable:
                made.set_aside(record, unusable)
            except RecursionError:  # the JSON writer follows less deep than the reader did
                made.quarantined.add(record, "nested_too_deep", found="brackets within brackets")
        return made

    def _read(
        self, record: Record, place: str, value: dict[str, Any], made: "_Made", depth: int = MAX_WRAPPERS
    ) -> None:
        """What the object says that stands at `place` of a record."""
        try:
            if prompts := self.templates.set_of(value):
                number = chosen(prompts, value)
                made.dialects[f"template {prompts.name} {number}"] += 1
                weight = weight_of(value, self._weight_beside(prompts, value))
                made.add(record, convert_by_template(value, prompts, number, self.rules)._replace(weight=weight))
                return
            dialect = self.dialects.of(value)
            if dialect.name == TREE_FRAGMENT and "message_id" in value:
                made.fragments.append(Fragment(record.index, record.byte_offset, value, repairs_of(record.value)))
                return
            if depth and (dialect.name in NO_RECORD or has_responses(value)):
                for where, one in (inner := unwrapped(value, self.dialects)):
                    self._read(record, f"{place}.{where}".strip("."), one, made, depth - 1)
                if inner:
                    return
            within = INDEX.sub("", place)
            made.dialects[f"{dialect.name} in {within}" if within else dialect.name] += 1
            found = dialect.read(value, self.rules)
            for conversation in found:
                if isinstance(conversation, Unusable):
                    made.set_aside(record, conversation, place)
                else:
                    made.add(record, conversation)
            made.unread.update(str(_field_at(within, name)) for name in unread_fields(value, dialect, found, place))
        except Unusable as unusable:
            made.set_aside(record, unusable, place)


FAULTS_OF_TEXT: dict[str, Callable[[str], object]] = {
    "nul_character": lambda text: "\0" in text,
    "invalid_unicode": re.compile("[\ud800-\udfff]").search,
}


class _Made:
    """Gathers what records hold."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.conversations: list[tuple[int, Conversation]] = []
        self.quarantined = Quarantined()
        self.dialects = Counter[str]()
        self.fragments: list[Fragment] = []
        self.halves = Halves()
        self.unread = Counter[str]()

    def add(self, record: Record, conversation: Conversation, repairs: Iterable[Repair] = ()) -> None:
        try:
            refuse_unsafe(conversation, self._rules)
            made = dict.fromkeys((*conversation.repairs, *repairs, *repairs_of(record.value)))
            self.conversations.append((record.index, conversation._replace(repairs=tuple(made))))
        except Unusable as unusable:
            is_at_fault = FAULTS_OF_TEXT.get(unusable.reason, self._rules.find_special_token)
            unusable.field = place_of(record.value, is_at_fault)
            self.set_aside(record, unusable)

    def set_aside(self, record: Record, unusable: Unusable, place: str = "") -> None:
        self.quarantined.add(record, unusable.reason, _field_at(place, unusable.field), unusable.found)


def _tables(made: Sequence[_Made], records: Sequence[int]) -> list[Ingested]:
    """What was gathered of each of several, so many records, in tables of its own, which are cut from one."""
    table = conversation_table([columns_of(pair for one in made for pair in one.conversations)])
    ends = accumulate(len(one.conversations) for one in made)
    return [
        Ingested(
            table[end - len(one.conversations) : end],
            one.quarantined.table(),
            read,
            one.dialects,
            one.fragments,
            one.halves.table(),
            one.unread,
        )
        for one, end, read in zip(made, ends, records, strict=True)
    ]


def _field_at(place: str, field: str | None) -> str | None:
    """A field of a record that stands at `place` of what was read; what two say in turn there was read as messages."""
    if not place or not field:
        return field or place or None
    if place in TOLD_IN:  # the record's other fields stand beside it
        return place + field.removeprefix("messages") if field.startswith("messages") else field
    return f"{place}.{field}"


def repairs_of(value: object) -> tuple[Repair, ...]:
    """What was done to read a value."""
    return value.repairs if isinstance(value, Mended) else ()


def _places(root: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where each message stands in a tree, as `tree_conversations` names it, and its id."""
    waiting = [(ROOT_FIELD, root)]
    while waiting:
        place, node = waiting.pop()
        yield place, node["message_id"]
        waiting.extend((f"{place}.replies[{number}]", reply) for number, reply in enumerate(node["replies"]))


def _as_record(fragment: Fragment) -> Record:
    return Record(fragment.record, fragment.byte_offset, fragment.message)


def _records(unit: Block | Sequence[Found] | BrokenRecord) -> list[Record | BrokenRecord]:
    if isinstance(unit, BrokenRecord):
        return [unit]
    found = ((offset, unit.value(one)) for offset, one in unit.elements()) if isinstance(unit, Block) else unit
    return [_record(number, offset, value) for number, (offset, value) in enumerate(found)]


def _record(number: int, offset: int, value: object) -> Record | BrokenRecord:
    if isinstance(value, Damage):
        return BrokenRecord(number, offset, value.reason, value.detail)
    return Record(number, offset, value)
