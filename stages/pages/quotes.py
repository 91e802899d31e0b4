"""A row as it is quoted on a page or in a terminal."""

from typing import NamedTuple

from stages.pages.marks import Marked

READ_CHARS = 20_000  # of a text, to find in it what is to be marked
TEXTS = ("prompt", "response")


class Quote(NamedTuple):
    """One row: where it came from, what was found, what it says, and what it is to be compared with."""

    place: str
    row_id: str | None
    facts: list[tuple[str, object]]
    prompt: Marked | None
    response: Marked | None
    beside: "Quote | None" = None
    label: str = "Text"  # of a response without a prompt
