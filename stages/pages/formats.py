"""How numbers, names and quoted text look on the page."""

import math
import re
import unicodedata
from collections.abc import Sequence

CELL_CHARS = 300  # of a value in a table or beside a quote
SHOWN_AS_IT_IS = "\n\t\u200c\u200d"  # the joiners make letters of Persian and Hindi, and families of emoji, one


def count(value: float | None) -> str:
    """12,345"""
    return "–" if value is None else f"{value:,.0f}"


def percent(share: float) -> str:
    """12.3 %; a little is never shown as nothing, nor nearly all as all."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def number(value: float) -> str:
    """Four significant digits, without an exponent where people would not write one."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def metric(value: float, name: str) -> str:
    """A rate as a percentage, any other metric as a number."""
    return percent(value) if name.endswith("_rate") else number(value)


def short(value: float) -> str:
    """1.5k, 20M: for the ticks of an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def short_apart(values: Sequence[float]) -> list[str]:
    """Each of them short, with more digits where two would read alike."""
    texts = [short(value) for value in values]
    for digits in range(4, 16):
        if len(set(texts)) == len(set(values)):
            break
        texts = [f"{value:.{digits}g}" for value in values]
    return texts


def cell(value: object) -> str:
    """Any value of a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    text = str(value)
    return quoted(text if len(text) <= CELL_CHARS else f"{text[:CELL_CHARS]} …")


def spaced(name: str) -> str:
    """`too_few_words` as people write it."""
    return name.replace("_", " ")


def anchor(*names: str) -> str:
    """An id that names may be linked by."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(names).lower()).strip("-")


def quoted(text: str) -> str:
    """`text` with what cannot be seen made visible; escaping is the template's business.

    A control character would vanish or break the page, and a change of writing direction would show a text as what it
    is not. Unicode's block "Control Pictures" has a picture of each control character.
    """
    return text if text.isprintable() else "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    code = ord(character)
    if character.isprintable() or character in SHOWN_AS_IT_IS or unicodedata.category(character) == "Zs":
        return character
    if code < 32:
        return chr(0x2400 + code)
    return "\u2421" if code == 127 else f"[U+{code:04X}]"
