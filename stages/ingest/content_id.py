"""Identity of conversations: equal content has an equal id, whatever file, order or spacing it came in."""

import hashlib
import unicodedata
from collections.abc import Iterable

from stages.ingest.conversation import Conversation
from stages.ingest.unusable import Unusable

ID_HEX_DIGITS = 32


def content_id(conversation: Conversation) -> str:
    """Hex digest of roles and texts in Unicode NFC, with each run of white space one space: four lines for each turn,
    and one for the tools on offer.

    Raises Unusable for text with NUL characters, or that UTF-8 cannot hold.
    """
    lines: list[str] = []
    for role, content, reasoning, calls in conversation.turns:
        lines += (
            role,
            _one_line(content),
            _one_line(reasoning) if reasoning else "",
            _one_line(calls) if calls else "",
        )
    if conversation.tools:
        lines.append(_one_line(conversation.tools))
    stated = "\n".join(lines)
    if "\0" in stated:
        raise Unusable("nul_character", None, next(line for line in lines if "\0" in line))
    try:
        return hashlib.sha256(stated.encode()).hexdigest()[:ID_HEX_DIGITS]
    except UnicodeEncodeError as error:
        raise Unusable("invalid_unicode", None, stated[error.start : error.end]) from None


def _one_line(text: str) -> str:
    return " ".join(text.split()) if text.isascii() else " ".join(unicodedata.normalize("NFC", text).split())


def row_ids(sources: Iterable[str], content_ids: Iterable[str], occurrences: Iterable[int]) -> list[str]:
    """Ids of rows: equal conversations of one source are told apart by their number alone, counted from 0."""
    return [
        hashlib.sha256(f"{source}\0{content}\0{occurrence}".encode()).hexdigest()[:ID_HEX_DIGITS]
        for source, content, occurrence in zip(sources, content_ids, occurrences, strict=True)
    ]
