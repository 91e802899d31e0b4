"""Reads the escapes of texts that stand within JSON, such as what a tool was called with or returned.

There a line end is a backslash and an n, and would be one word with the one behind it.
"""

import re

import polars as pl

from stages.texts.conversation_text import read_where

ESCAPE = r"\\[nrtbfu]"
SEVERAL = r"\\+"  # JSON within JSON doubles them
WHITE = r"\\[nrtbf]"
LETTERS = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def with_escapes_read(text: pl.Expr) -> pl.Expr:
    r"""`text`, and below it what it says with its escapes read: as it is, too, as \nabla may be no line and "abla"."""
    is_escaped = text.str.contains(ESCAPE)
    spaced = read_where(is_escaped, text).str.replace_all(SEVERAL, "\\").str.replace_all(WHITE, " ")
    has_letters = spaced.str.contains(r"\u", literal=True)
    lettered = pl.when(has_letters).then(spaced).map_batches(_with_letters, return_dtype=pl.String)
    return pl.when(is_escaped).then(pl.concat_str(text, pl.coalesce(lettered, spaced), separator="\n")).otherwise(text)


def _with_letters(texts: pl.Series) -> pl.Series:
    read = [None if text is None else LETTERS.sub(_letters, text) for text in texts]
    return pl.Series(texts.name, read, dtype=pl.String)


def _letters(escapes: re.Match[str]) -> str:
    """The characters of consecutive escapes, two of which may be the halves of one."""
    return bytes.fromhex(escapes[0].replace("\\u", "")).decode("utf-16-be", "replace")
