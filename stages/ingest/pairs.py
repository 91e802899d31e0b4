"""The short way for records that are alike and sound: a prompt, perhaps a context, and an answer, in fields of text.

Blocks of such records are decoded and turned into columns at once. A record with anything about it that the
converters of `flat.py` would look at twice is left to them, so that the result is theirs in every case.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from stages.ingest.conversation import MEDIA_MARKS, UNSEEN, Rules
from stages.ingest.conversation_table import FEATURES, TURN_TYPES, Columns
from stages.ingest.dialects import Dialect, Dialects
from stages.ingest.flat import LONGEST_PLACEHOLDER, PREAMBLE_START, convert_pair
from stages.json_blocks import Block

READ = ("prompt", "context", "response", "task")  # what of a record the columns are made of
PLAIN_TYPES = {str: str, int: int, float: float | int, bool: bool}
MAY_BE_NO_ANSWER = r"(?i)^[\s\x1c-\x1f]*<"
MAY_BE_NO_INPUT = r"(?i)n/a|none|input"
BACKSLASH = ord("\\")
BLANK = rf"^[\x1c-\x1f{UNSEEN}]*$"


class Shape(NamedTuple):
    """Flat records with the same fields, all of the types that the first one has."""

    dialect: Dialect
    decoder: msgspec.json.Decoder[Any]
    list_decoder: msgspec.json.Decoder[Any]
    names: dict[str, str]  # what is read -> attribute of a decoded record
    fields: dict[str, str]  # attribute of a decoded record -> name of the field
    quotes: int  # quotation marks around names and texts, which are more where a name stands twice


class Alike(NamedTuple):
    """What became of a block: columns, and what is left to the converters."""

    columns: Columns
    records: int  # in the block, broken ones too
    left: list[tuple[int, object]]  # (position in the block, value)


def shape_of(value: object, dialects: Dialects) -> Shape | None:
    """The shape of a block that starts with `value`; None where there is no short way for it."""
    if not isinstance(value, dict) or not all(type(part) in PLAIN_TYPES for part in value.values()):
        return None
    dialect = dialects.of(value)
    if dialect.convert is not convert_pair or dialect.media_fields or {"history", "system"} & dialect.fields.keys():
        return None
    if not all(isinstance(value[dialect.fields[name]], str) for name in READ if name in dialect.fields):
        return None
    if not dialects.tells_apart(tuple(value)):
        return None
    attributes = {name: f"field_{number}" for number, name in enumerate(value)}
    struct = msgspec.defstruct(
        "Record",
        [(attribute, PLAIN_TYPES[type(value[name])]) for name, attribute in attributes.items()],
        rename={attribute: name for name, attribute in attributes.items()},
        forbid_unknown_fields=True,
        gc=False,
    )
    texts = sum(isinstance(part, str) for part in value.values())
    return Shape(
        dialect,
        msgspec.json.Decoder(struct),
        msgspec.json.Decoder(list[struct]),  # type: ignore[valid-type]
        {name: attributes[field] for name, field in dialect.fields.items() if name in READ},
        {attribute: name for name, attribute in attributes.items()},
        2 * (len(value) + texts),
    )


def read_alike(block: Block, shape: Shape, rules: Rules) -> Alike:
    """The records of a block as columns, as far as they have the shape and nothing is odd about them."""
    records, positions, left = _decoded(block, shape)
    texts = {name: list(map(attrgetter(attribute), records)) for name, attribute in shape.names.items()}
    frame = pl.DataFrame([pl.Series(name, texts[name], dtype=pl.String) for name in texts])
    if "context" in texts:
        with_context = pl.col("prompt") + "\n\n" + pl.col("context")
        question = pl.when(~pl.col("context").str.contains(BLANK)).then(with_context).otherwise("prompt")
        frame = frame.with_columns(question=question)
    else:
        frame = frame.with_columns(question="prompt")
    odd = frame.select(_is_odd(rules, frame.columns)).to_series()
    if rules.placeholder_literal is None:
        odd |= _matching(rules.find_placeholder, frame["question"])
    if rules.special_token_literals is None:
        odd |= _matching(rules.find_special_token, frame["question"]) | _matching(
            rules.find_special_token, frame["response"]
        )
    odd_ones = odd.arg_true().to_list()
    for number in odd_ones:
        record = {name: getattr(records[number], attribute) for attribute, name in shape.fields.items()}
        left.append((positions[number], record))
    kept = frame.with_columns(record=pl.Series(positions, dtype=pl.Int64)).filter(~odd)
    return Alike(_columns(kept), len(records) + len(left) - len(odd_ones), sorted(left, key=itemgetter(0)))


def _matching(search: Callable[[str], object], texts: pl.Series) -> pl.Series:
    return pl.Series([search(text) is not None for text in texts], dtype=pl.Boolean)


def _decoded(block: Block, shape: Shape) -> tuple[list[Any], Sequence[int], list[tuple[int, object]]]:
    """Records of the shape, their positions in the block, and the position and value of all others."""
    data = block.data
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        try:
            records = _decode_all(block, shape)
        except (msgspec.DecodeError, ValueError, RecursionError):
            records = []
        if records and _unescaped_quotes(data) == shape.quotes * len(records):
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
        if quotes != shape.quotes:
            left.append((position, block.value(element)))
        else:
            records.append(record)
            positions.append(position)
    return records, positions, left


def _is_odd(rules: Rules, columns: Sequence[str]) -> pl.Expr:
    """Whether a converter may refuse or repair the record; true more often than it does."""
    prompt, question, answer = pl.col("prompt"), pl.col("question"), pl.col("response")
    anywhere = ["\0", *(rules.special_token_literals or ())]
    in_question = [
        *anywhere,
        *MEDIA_MARKS,
        PREAMBLE_START,
        *([rules.placeholder_literal] if rules.placeholder_literal else []),
    ]
    odd = (
        prompt.str.contains(BLANK)
        | answer.str.contains(BLANK)
        | answer.str.contains(MAY_BE_NO_ANSWER)
        | question.str.contains(_any_of(in_question))
        | answer.str.contains(_any_of(anywhere))
    )
    if "context" in columns:
        context = pl.col("context")
        odd |= (context.str.len_bytes() <= LONGEST_PLACEHOLDER * 4) & context.str.contains(MAY_BE_NO_INPUT)
    return odd


def _any_of(literals: Sequence[str]) -> str:
    """A pattern, as the search for patterns is fifteen times as fast as the search for many texts."""
    return "|".join(map(pl.escape_regex, literals))


def _columns(kept: pl.DataFrame) -> Columns:
    """Two turns for each row: the question, then the answer."""
    count = kept.height
    pairs = np.arange(2 * count).reshape(2, count).T.ravel()
    content = pl.concat([kept["question"], kept["response"]], rechunk=True).gather(pairs)
    roles = pl.Series(["user", "assistant"], dtype=pl.String).gather(np.tile([0, 1], count))
    turns = pl.DataFrame([roles.alias("role"), content.alias("content")]).with_columns(
        pl.lit(None, dtype=pl.String).alias(name) for name in list(TURN_TYPES)[2:]
    )
    task = pl.when(pl.col("task") != "").then("task") if "task" in kept.columns else pl.lit(None, dtype=pl.String)
    nothing = [pl.lit(None, dtype=FEATURES[name]).alias(name) for name in ("tools", "repairs", "supervised")]
    return Columns(turns, [2] * count, kept.select("record", task.alias("task"), *nothing).select(list(FEATURES)))
