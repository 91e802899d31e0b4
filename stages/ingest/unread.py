"""Texts of a record that none of its conversations holds: their fields are told, so that nothing goes in silence."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stages.ingest.conversation import NAME, Conversation, Converter, is_blank
from stages.ingest.dialects import Dialect
from stages.ingest.flat import convert_document
from stages.ingest.turns import convert_turns
from stages.ingest.unusable import Unusable

SHORTEST = 40  # characters; what is shorter is a label, a topic, a name
LOOKED_AT = 20  # texts of a list: each is looked for in a whole conversation
# What converters read in a form of its own, so that what a field holds need not stand in a turn as it is.
READ = ("turns", "tools", "history", "system", "more_system", "context", "more_context", "reasoning", "task")
READ_AS_PAIR = (*READ, "prompt", "response")
READ_OF: dict[Converter | None, tuple[str, ...]] = {convert_turns: READ, convert_document: (*READ_AS_PAIR, "text")}


def unread_fields(
    record: Mapping[str, Any], dialect: Dialect, made: Iterable[Conversation | Unusable], place: str
) -> Collection[str]:
    """The fields with a text that the conversations made of a record do not hold; none where nothing was made of it. The
    record stands at `place`, or what does was read as its messages."""
    longer = {name: texts for name, value in record.items() if name != place and (texts := passages(value))}
    if not longer:
        return ()
    held = [t for one in made if isinstance(one, Conversation) for turn in one.turns for t in turn[1:] if t]
    read = _fields_read(dialect)
    return [name for name, texts in longer.items() if held and name not in read and not are_held(texts, held)]


def _fields_read(dialect: Dialect) -> set[str]:
    meanings = READ_OF.get(dialect.convert, READ_AS_PAIR)
    return {field for meaning, field in dialect.fields.items() if meaning.startswith(meanings)}


def passages(value: object) -> list[str]:
    """A longer text, or those among the first of a list."""
    texts = value[:LOOKED_AT] if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str) and len(text) >= SHORTEST and _says_something(text)]


def _says_something(text: str) -> bool:
    return not NAME.fullmatch(text) and not is_blank(text)


def are_held(texts: Iterable[str], held: Collection[str]) -> bool:
    """Whether each text stands in one of those that are `held`."""
    return all(any(text.strip() in one for one in held) for text in texts)
