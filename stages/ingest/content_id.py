"""Identity of conversations: equal content has an equal id, whatever file, order or spacing it came in."""

import hashlib
import unicodedata
from collections.abc import Iterable
from json.encoder import encode_basestring as quoted

from stages.ingest.conversation import Conversation, Turn
from stages.ingest.unusable import Unusable

ID_HEX_DIGITS = 32


def content_id(conversation: Conversation) -> str:
    """Hex digest of the roles and texts in Unicode NFC, each run of white space one space.

    Raises Unusable for text that no UTF-8 file can hold, or with NUL characters.
    """
    stated = ",".join([_stated(turn) for turn in conversation.turns])
    if conversation.tools:
        stated += "," + _quoted(conversation.tools)
    try:
        return hashlib.sha256(f"[{stated}]".encode()).hexdigest()[:ID_HEX_DIGITS]
    except UnicodeEncodeError as error:
        raise Unusable("invalid_unicode", None, str(error.object)[error.start : error.end]) from None


def _stated(turn: Turn) -> str:
    role, content, reasoning, calls = turn
    if "\0" in content or (reasoning and "\0" in reasoning):
        raise Unusable("nul_character", None, content)
    if reasoning or calls:
        return f'["{role}",{_quoted(content)},{_quoted(reasoning or "")},{_quoted(calls or "")}]'
    return f'["{role}",{_quoted(content)}]'


def _quoted(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return quoted(" ".join(text.split()))


def row_ids(sources: Iterable[str], content_ids: Iterable[str], occurrences: Iterable[int]) -> list[str]:
    """Ids of rows: they tell equal conversations of one source apart by their number alone, counted from 0."""
    return [
        hashlib.sha256(f"{source}\0{content}\0{occurrence}".encode()).hexdigest()[:ID_HEX_DIGITS]
        for source, content, occurrence in zip(sources, content_ids, occurrences, strict=True)
    ]
