"""Digits, letters, spaces and dashes as ASCII has them, for patterns that know no others. Texts keep their length, so what is
found stands at the same place of the text as it was written.
"""

import unicodedata
from functools import cache

import polars as pl

from stages.texts.conversation_text import read_where

_FULL_WIDTH = (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), *map(ord, "＠．－＿＋（）"))
_PAST_FULL_WIDTH = 0xFEE0  # how far each stands behind its form in ASCII
_SPACES = "\u00a0\u2007\u2009\u202f\u3000"
_DASHES = "‐‑‒–−"
OTHER_FORM = rf"[\p{{Nd}}--0-9]|[\x{{ff21}}-\x{{ff3a}}\x{{ff41}}-\x{{ff5a}}＠．－＿＋（）{_SPACES}{_DASHES}]"


def in_ascii(text: str) -> str:
    """`text` of the same length, with such characters in their form of ASCII."""
    return text if text.isascii() else text.translate(_forms())


def all_in_ascii(texts: pl.Series) -> pl.Series:
    """`in_ascii` of each text; only those with another form are read one by one."""
    text = pl.col("text")
    other = read_where(text.str.len_bytes() != text.str.len_chars(), text).str.contains(OTHER_FORM)
    places = texts.to_frame("text").select(other.fill_null(value=False)).to_series().arg_true()
    return texts.clone().scatter(places, texts.gather(places).map_elements(in_ascii, return_dtype=pl.String))


@cache
def _forms() -> dict[int, str]:
    """Code point -> its form in ASCII; digits of all scripts."""
    digits = {point: unicodedata.decimal(chr(point), None) for point in range(0x80, 0x20000)}
    return (
        {point: str(digit) for point, digit in digits.items() if digit is not None}
        | {point: chr(point - _PAST_FULL_WIDTH) for point in _FULL_WIDTH}
        | {ord(space): " " for space in _SPACES}
        | {ord(dash): "-" for dash in _DASHES}
    )
