"""The short way for records that are alike and sound: pairs of prompt and answer, and chats whose turns are plain text.

Blocks of such records are decoded and turned into columns at once, rows of tables without decoding. A record with
anything about it that the converters would look at twice is left to them, so that the result is theirs in every case.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from types import NoneType
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stages.ingest.chats import Chats, columns_of_chats
from stages.ingest.conversation import Converter, Rules
from stages.ingest.conversation_table import Columns
from stages.ingest.dialects import Dialect, Dialects
from stages.ingest.flat import LISTS_OF_ANSWERS, convert_pair
from stages.ingest.pairs import columns_of_pairs
from stages.ingest.records_within import TOLD_IN
from stages.ingest.spellings import plain
from stages.ingest.turns import convert_turns
from stages.ingest.unread import are_held, passages
from stages.raw_files.json_blocks import Block
from stages.raw_files.records import Found

PLAIN_TYPES = {str: str, int: int, float: float | int, bool: bool}
READ: dict[Converter | None, tuple[str, ...]] = {  # what of a record its columns are made of, by who converts it else
    convert_pair: ("prompt", "context", "response", "task"),
    convert_turns: ("turns", "task"),
}
MAY_BE_NULL = {"context", "task"}
LOOKED_AT = {"history", "system", "tools", "desired", "more_context", "weight", "reasoning", "options", "settings"}
LOOKED_AT_BESIDE_TURNS = {"context", "told_first", "metadata"}
ROLE_FIELDS, TEXT_FIELDS = {"role", "from"}, {"content", "value"}
BACKSLASH = ord("\\")


class Kind(NamedTuple):
    """What records with the same fields hold, as far as they are plain."""

    dialect: Dialect
    names: tuple[str, ...]  # of all fields, in order
    read: dict[str, str]  # what is read -> name of its field
    turn: tuple[str, str] | None  # of chats, the fields of a turn: role and text

    @property
    def beside(self) -> list[str]:
        """The fields that are not read."""
        return [name for name in self.names if name not in self.read.values()]


class Shape(NamedTuple):
    """Records of one kind, all fields of the types that the first one has."""

    kind: Kind
    decoder: msgspec.json.Decoder[Any]
    list_decoder: msgspec.json.Decoder[Any]
    attributes: dict[str, str]  # name of a field -> attribute of a decoded record
    quotes: int  # quotation marks around names and texts, which are more where a name stands twice

    def quotes_of(self, records: Sequence[Any]) -> int:
        """Quotation marks of all `records` together; a turn has two names and two texts."""
        turns = self.attributes[self.kind.read["turns"]] if self.kind.turn else None
        return self.quotes * len(records) + (8 * sum(len(getattr(one, turns)) for one in records) if turns else 0)


class Alike(NamedTuple):
    """What became of a block: columns, and what is left to the converters."""

    columns: Columns
    records: int  # in the block, broken ones too
    left: list[tuple[int, object]]  # (position in the block, value)
    unread: Counter[str]  # field -> records that are in the columns, and whose text there is not


def kind_of(value: object, dialects: Dialects) -> Kind | None:
    """The kind of records of which `value` is the first; None where there is no short way for them."""
    if not isinstance(value, dict) or not dialects.tells_apart(tuple(value)) or not TOLD_IN.keys().isdisjoint(value):
        return None
    dialect = dialects.of(value)
    if dialect is not dialects.by_names(tuple(value)):
        return None  # what holds nothing tells the dialect of this one, and holds something in others
    looked_at = LOOKED_AT | (LOOKED_AT_BESIDE_TURNS if dialect.convert is convert_turns else set())
    if dialect.media_fields or looked_at & dialect.fields.keys() or any(dialect.rivals.values()):
        return None
    if plain(dialect.fields.get("response", "")) in LISTS_OF_ANSWERS:
        return None
    read = {name: dialect.fields[name] for name in READ.get(dialect.convert, ()) if name in dialect.fields}
    turn = _turn_fields(value[read["turns"]]) if "turns" in read else None
    texts = [value[field] for name, field in read.items() if name != "turns"]
    is_plain = bool(turn) if "turns" in read else bool(read)
    return Kind(dialect, tuple(value), read, turn) if is_plain and all(isinstance(t, str) for t in texts) else None


def _turn_fields(turns: object) -> tuple[str, str] | None:
    match turns:
        case [{**turn}, *_] if len(turn) == 2:
            role, text = ROLE_FIELDS & turn.keys(), TEXT_FIELDS & turn.keys()
            return (role.pop(), text.pop()) if len(role) == len(text) == 1 else None
        case _:
            return None


def shape_of(value: object, dialects: Dialects) -> Shape | None:
    """The shape of a block that starts with `value`; None where there is no short way for it."""
    kind = kind_of(value, dialects)
    if not kind or not isinstance(value, dict):
        return None
    plain = {name: part for name, part in value.items() if name != kind.read.get("turns")}
    if not all(type(part) in PLAIN_TYPES for part in plain.values()):
        return None
    types: dict[str, Any] = {name: PLAIN_TYPES[type(part)] for name, part in plain.items()}
    if kind.turn:
        turn = _struct(dict.fromkeys(kind.turn, str))
        types[kind.read["turns"]] = list[turn]  # type: ignore[valid-type]
    struct = _struct(types)
    quotes = 2 * (len(types) + sum(type(part) is str for part in plain.values()))
    return Shape(kind, msgspec.json.Decoder(struct), msgspec.json.Decoder(list[struct]), _attributes(types), quotes)  # type: ignore[valid-type]


def _attributes(names: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"field_{number}" for number, name in enumerate(names)}


def _struct(types: Mapping[str, Any]) -> Any:
    attributes = _attributes(types)
    fields = [(attributes[name], type_) for name, type_ in types.items()]
    rename = {attribute: name for name, attribute in attributes.items()}
    return msgspec.defstruct("Record", fields, rename=rename, forbid_unknown_fields=True, gc=False)


def read_block(block: Block, shape: Shape, rules: Rules) -> Alike:
    """The records of a block as columns, as far as they have the shape and nothing is odd about them."""
    records, positions, left = _decoded(block, shape)
    kind = shape.kind
    read = {name: list(map(attrgetter(shape.attributes[field]), records)) for name, field in kind.read.items()}
    if kind.turn:
        turns = [turn for of_one in read["turns"] for turn in of_one]
        read |= {"roles": [turn.field_0 for turn in turns], "contents": [turn.field_1 for turn in turns]}
    columns, odd = _columns(read, kind, positions, rules)
    beside = {name: list(map(attrgetter(shape.attributes[name]), records)) for name in kind.beside}
    unread = _unread(beside, read, odd, lambda turn: turn.field_1)
    left += [(positions[number], _as_object(records[number], shape)) for number in odd]
    return Alike(columns, len(records) + len(left) - len(odd), sorted(left, key=itemgetter(0)), unread)


def _as_object(record: Any, shape: Shape) -> dict[str, Any]:
    value = {name: getattr(record, attribute) for name, attribute in shape.attributes.items()}
    if turn := shape.kind.turn:
        field = shape.kind.read["turns"]
        value[field] = [dict(zip(turn, (one.field_0, one.field_1), strict=True)) for one in value[field]]
    return value


def read_rows(found: Sequence[Found], kind: Kind, rules: Rules) -> Alike:
    """Records that were read already as columns, as far as they are of the kind and nothing is odd about them."""
    rows: list[Any] = [value for _, value in found]
    positions = _positions(rows, kind)
    rows = rows if len(positions) == len(rows) else [rows[number] for number in positions]
    read = {name: [row[field] for row in rows] for name, field in kind.read.items()}
    for name in MAY_BE_NULL & read.keys():
        read[name] = [text or "" for text in read[name]]
    if kind.turn:
        role, text = kind.turn
        turns = [turn for of_one in read["turns"] for turn in of_one]
        read |= {"roles": [turn[role] for turn in turns], "contents": [turn[text] for turn in turns]}
    try:
        columns, odd = _columns(read, kind, positions, rules)
    except UnicodeEncodeError:  # a lone surrogate, which no column can hold
        columns, odd, positions = *_columns({name: [] for name in read}, kind, [], rules), []
    taken = set(positions) - {positions[number] for number in odd}
    beside = {name: [row[name] for row in rows] for name in kind.beside}
    unread = _unread(beside if positions else {}, read, odd, itemgetter(kind.turn[1] if kind.turn else ""))
    return Alike(columns, len(found), [(n, value) for n, (_, value) in enumerate(found) if n not in taken], unread)


def _unread(
    beside: Mapping[str, list[Any]], read: Mapping[str, list[Any]], odd: Sequence[int], said: Callable[[Any], str]
) -> Counter[str]:
    """For each field beside those that are read, the records whose text there is in none of these; `said` is what a turn says."""
    found = Counter[str]()
    left = set(odd)
    for name, values in beside.items():
        for number, value in enumerate(values):
            if number in left or not (texts := passages(value)):
                continue
            turns = (
                map(said, read["turns"][number]) if "turns" in read else (read[n][number] for n in read if n != "task")
            )
            found[name] += not are_held(texts, list(turns))
    return +found


def _positions(rows: Sequence[Any], kind: Kind, first: int = 0) -> Sequence[int]:
    """Which rows are of the kind, counted from `first`: all are looked at together, which halves what odd ones are among."""
    if _are_of_kind(rows, kind):
        return range(first, first + len(rows))
    if len(rows) == 1:
        return []
    half = len(rows) // 2
    return [*_positions(rows[:half], kind, first), *_positions(rows[half:], kind, first + half)]


def _are_of_kind(rows: Sequence[Any], kind: Kind) -> bool:
    if set(map(type, rows)) != {dict} or set(map(tuple, rows)) != {kind.names}:
        return False
    for name, field in kind.read.items():
        found = set(map(type, map(itemgetter(field), rows)))
        if not found <= ({list} if name == "turns" else {str, NoneType} if name in MAY_BE_NULL else {str}):
            return False
    return not kind.turn or _are_turns([turn for row in rows for turn in row[kind.read["turns"]]], kind.turn)


def _are_turns(turns: Sequence[Any], names: Sequence[str]) -> bool:
    if not set(map(type, turns)) <= {dict} or not set(map(frozenset, turns)) <= {frozenset(names)}:
        return False
    return all(set(map(type, map(itemgetter(name), turns))) <= {str} for name in names)


def _columns(
    read: Mapping[str, list[Any]], kind: Kind, positions: Sequence[int], rules: Rules
) -> tuple[Columns, list[int]]:
    """Columns of what was read, and which records are not in them."""
    if kind.turn is None:
        return columns_of_pairs(read, positions, rules)
    lengths = np.fromiter(map(len, read["turns"]), dtype=np.int64, count=len(read["turns"]))
    return columns_of_chats(Chats(read["roles"], read["contents"], lengths, read.get("task")), positions, rules)


def _decoded(block: Block, shape: Shape) -> tuple[list[Any], Sequence[int], list[tuple[int, object]]]:
    """Records of the shape, their positions in the block, and the position and value of all others."""
    data = block.data
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        try:
            records = _decode_all(block, shape)
        except (msgspec.DecodeError, ValueError, RecursionError):
            records = []
        if records and _unescaped_quotes(data) == shape.quotes_of(records):
            return records, range(len(records)), []
    return _decoded_one_by_one(block, shape)


def _unescaped_quotes(data: bytes) -> int:
    """Quotation marks that open or close a text in sound JSON, which are those behind an even number of backslashes."""
    letters = np.frombuffer(data, dtype=np.uint8)
    backslashes = np.flatnonzero(letters == BACKSLASH)  # neither the first byte nor the last
    before_quotes = backslashes[letters[backslashes + 1] == ord('"')]
    in_runs = before_quotes[letters[before_quotes - 1] == BACKSLASH].tolist()
    even = sum(_run_length(data, end) % 2 == 0 for end in in_runs)
    return int(np.count_nonzero(letters == ord('"'))) - len(before_quotes) + even


def _run_length(data: bytes, end: int) -> int:
    """Backslashes in a row up to the one at `end`."""
    start = end
    while data[start] == BACKSLASH:
        start -= 1
    return end - start


def _decode_all(block: Block, shape: Shape) -> list[Any]:
    if block.form == "lines":
        return shape.decoder.decode_lines(block.data)
    return shape.list_decoder.decode(b"[" + block.data + b"]")  # type: ignore[no-any-return]


def _decoded_one_by_one(block: Block, shape: Shape) -> tuple[list[Any], Sequence[int], list[tuple[int, object]]]:
    records: list[Any] = []
    positions: list[int] = []
    left: list[tuple[int, object]] = []
    for position, (_, element) in enumerate(block.elements()):
        try:
            record = shape.decoder.decode(element)
        except (msgspec.DecodeError, ValueError, RecursionError):
            left.append((position, block.value(element)))
            continue
        plain = b'\\\\"' not in element
        quotes = element.count(b'"') - element.count(b'\\"') if plain else _unescaped_quotes(element)
        if quotes != shape.quotes_of([record]):
            left.append((position, block.value(element)))
        else:
            records.append(record)
            positions.append(position)
    return records, positions, left
