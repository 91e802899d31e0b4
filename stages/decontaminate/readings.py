"""Reads what a text says where it is written for a program: JSON within JSON, HTML, links, markup, broken words, look-alikes.

In JSON a line end is a backslash and an n, and would be one word with the one behind it; a tag is a word between two
others; a Cyrillic letter makes another word of one that looks the same.
"""

import html
import re
from urllib.parse import unquote

import polars as pl

TAG = r"</?[a-zA-Z][^<>]{0,200}>"
ENTITY = r"&(?:#[0-9a-zA-Z]{1,7}|[a-zA-Z]{2,8});"
BROKEN_WORD = r"(\p{L})-\r?\n[ \t#>*/]{0,40}(\p{L})"
UNDERLINED = r"\b_{1,3}|_{1,3}\b"
MIXED = "[a-zA-Z][\u0370-\u04ff]|[\u0370-\u04ff][a-zA-Z]"  # Greek or Cyrillic within a word of Latin letters
SPACE = "%20"  # in a link
MARKED = rf"\\[a-zA-Z]|</?[a-zA-Z]|{ENTITY}|\p{{L}}-\r?\n|[\s(*]_\w|{SPACE}|{MIXED}"
SEVERAL = r"\\+"  # JSON within JSON doubles them
COMMAND = r"\\[a-zA-Z]{2,20}\{"  # of LaTeX
WHITE = r"\\[nrtbf]"
LETTERS = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
MIXED_SCRIPTS = re.compile(MIXED)
# From Unicode Technical Standard 39, confusables.
LOOKS_LIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухкһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυχικ",
    "ABESIJKMHOPCTYXaesijopcyxkhdqwABEZHIKMNOPTYXavopuxik",
)


def readings(texts: pl.Series) -> pl.Series:
    """What each text says as read; null for the many that have nothing to read."""
    at = texts.str.contains(MARKED).arg_true()
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    return none.scatter(at, _read(texts.gather(at)))


def with_readings(texts: pl.Series) -> pl.Series:
    r"""Each text, and below it what it says as read; as it is, too, as \nabla may be no line and "abla"."""
    read = readings(texts)
    at = read.is_not_null().arg_true()
    return texts.scatter(at, texts.gather(at) + "\n" + read.gather(at))


def _read(texts: pl.Series) -> pl.Series:
    plain = texts.str.replace_all(TAG, " ").str.replace_all(SEVERAL, "\\").str.replace_all(COMMAND, " ")
    spaced = pl.Series([_characters(text) for text in plain.str.replace_all(WHITE, " ")], dtype=pl.String)
    return spaced.str.replace_all(BROKEN_WORD, "${1}${2}").str.replace_all(UNDERLINED, "")


def _characters(text: str) -> str:
    """The text with escapes, entities and links read; where scripts are mixed, letters that look like Latin ones are such."""
    read = html.unescape(LETTERS.sub(_letters, unquote(text) if SPACE in text else text))
    return read.translate(LOOKS_LIKE) if not read.isascii() and MIXED_SCRIPTS.search(read) else read


def _letters(escapes: re.Match[str]) -> str:
    """The characters of consecutive escapes, two of which may be the halves of one."""
    return bytes.fromhex(escapes[0].replace("\\u", "")).decode("utf-16-be", "replace")
