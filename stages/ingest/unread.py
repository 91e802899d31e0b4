"""Texts of a record that none of its conversations holds: their fields are told, so that nothing goes in silence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stages.ingest.conversation import NAME, Conversation, Converter, is_blank
from stages.ingest.dialects import Dialect
from stages.ingest.flat import convert_document
from stages.ingest.turns import convert_turns

SHORTEST = 40  # characters; what is shorter is a label, a topic, a name
LOOKED_AT = 20  # texts of a list: each is looked for in a whole conversation
# What converters read in a form of its own, so that what a field holds need not stand in a turn as it is.
READ = ("turns", "tools", "history", "system", "more_system", "context", "more_context", "reasoning", "task")
READ_AS_PAIR = (*READ, "prompt", "response")
READ_OF: dict[Converter | None, tuple[str, ...]] = {convert_turns: READ, convert_document: (*READ_AS_PAIR, "text")}


def fields_read(dialect: Dialect) -> set[str]:
    """The fields that records of a dialect are made of."""
    meanings = READ_OF.get(dialect.convert, READ_AS_PAIR)
    return {field for meaning, field in dialect.fields.items() if meaning.startswith(meanings)}


def texts_of(conversations: Iterable[Conversation]) -> list[str]:
    """All that is said in conversations."""
    return [text for one in conversations for turn in one.turns for text in turn[1:] if text]


def unread_fields(record: Mapping[str, Any], read: set[str], held: Sequence[str]) -> Iterator[str]:
    """The fields, other than those that were read, with a text that is in none of the texts which the conversations hold."""
    for name, value in record.items():
        if name not in read and is_unread(value, held):
            yield name


def is_unread(value: object, held: Sequence[str]) -> bool:
    """Whether a value is a longer text, or a list that has one among its first, which none of the `held` texts has in it."""
    texts: Iterable[object] = value[:LOOKED_AT] if isinstance(value, list) else (value,)
    return any(
        isinstance(text, str) and _is_passage(text) and not any(text.strip() in one for one in held) for text in texts
    )


def _is_passage(text: str) -> bool:
    return len(text) >= SHORTEST and not NAME.fullmatch(text) and not is_blank(text)
