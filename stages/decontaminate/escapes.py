"""Reads the escapes of texts that stand within JSON, such as what a tool was called with or returned.

There a line end is a backslash and an n, and would be one word with the one behind it.
"""

import re

import polars as pl

ESCAPE = r"\\[nrtbfu]"
SEVERAL = r"\\+"  # JSON within JSON doubles them
WHITE = r"\\[nrtbf]"
LETTERS = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def with_escapes_read(texts: pl.Series) -> pl.Series:
    r"""Each text, and below it what it says with its escapes read: as it is, too, as \nabla may be no line and "abla"."""
    at = texts.str.contains(ESCAPE).arg_true()  # few texts have some
    escaped = texts.gather(at)
    spaced = escaped.str.replace_all(SEVERAL, "\\").str.replace_all(WHITE, " ")
    read = pl.Series([LETTERS.sub(_letters, text) for text in spaced], dtype=pl.String)
    return texts.scatter(at, escaped + "\n" + read)


def _letters(escapes: re.Match[str]) -> str:
    """The characters of consecutive escapes, two of which may be the halves of one."""
    return bytes.fromhex(escapes[0].replace("\\u", "")).decode("utf-16-be", "replace")
