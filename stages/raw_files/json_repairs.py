"""JSON that people's hands wrote: what stands between records and is none of them, and commas behind a last element.

Nothing is guessed: without these characters the text is one whole value, and with them it is no JSON at all.
"""

import re
from collections.abc import Callable
from typing import Any

# A text that is never closed goes to the end at once: else each quotation mark in it would be tried as a beginning.
STRING_OR_TRAILING_COMMA = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|,(?=\s*+[}\]])', re.DOTALL)
BETWEEN_RECORDS = "\ufeff \t\r\n"  # a byte order mark stands in the middle where files were put one behind the other


class Mended(dict[str, Any]):
    """An object without the commas behind last elements that its text has, and why it could not be read with them."""

    def __init__(self, value: dict[str, Any], fault: str) -> None:
        super().__init__(value)
        self.fault = fault


def record_in(text: str) -> str:
    """A line without a comma or a byte order mark around its record."""
    return text.strip(BETWEEN_RECORDS).removesuffix(",").rstrip(BETWEEN_RECORDS)


def mended(text: str, decode: Callable[[str], object], fault: str) -> Mended | None:
    """The object in `text` without the commas behind last elements; None where it is none, or has no such commas."""
    without = STRING_OR_TRAILING_COMMA.sub(lambda found: found[0] if found[0] != "," else "", text)
    if without == text:
        return None
    try:
        value = decode(without)
    except (RecursionError, ValueError):
        return None
    return Mended(value, fault) if isinstance(value, dict) else None
