"""Counts of kinds of characters, by array code over many texts at once.

A character's kind is looked up in a table, so a text is read once however many kinds are asked for: by its bytes where
it is ASCII, as nearly all of English is, by its code points where it is not.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.texts.word_bytes import Booleans, Ints, looked_up, utf8

SLICE_CHARS = 2_000_000  # bounds the arrays to about 100 MB, but for a text that is longer by itself
CODE_POINTS = 0x30000  # those above are rare Han, tags and private use: all count as the last of these

MARK, DIGIT, NUMBER, SPACE, SYMBOL, CONTROL, INVISIBLE, BIDIRECTIONAL = range(8)
BRACKETS = {"(": 8, ")": 9, "[": 10, "]": 11, "{": 12, "}": 13}
OPEN_AND_CLOSE = ((8, 9), (10, 11), (12, 13))
REPLACEMENT = 14
# A letter's kind is its script, as the first word of its Unicode name says it; an upper-case letter's is UPPER more.
SCRIPTS = (
    "OTHER", "LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "HEBREW", "ARABIC", "CJK", "HIRAGANA", "KATAKANA", "HANGUL",
    "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "GUJARATI", "GURMUKHI", "KANNADA", "MALAYALAM", "SINHALA", "THAI",
    "LAO", "KHMER", "MYANMAR", "GEORGIAN", "ETHIOPIC", "TIBETAN",
)  # fmt: skip
FIRST_SCRIPT, UPPER = 16, 32
KINDS = FIRST_SCRIPT + 2 * UPPER
SCRIPT = {name: FIRST_SCRIPT + place for place, name in enumerate(SCRIPTS)}
LETTERS = range(FIRST_SCRIPT, KINDS)
LOWER_LATIN = SCRIPT["LATIN"]
UPPER_CASE = range(FIRST_SCRIPT + UPPER, KINDS)
WITH_CASE = [SCRIPT[name] + more for name in ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN") for more in (0, UPPER)]
SYMBOLS = (SYMBOL, CONTROL, INVISIBLE, BIDIRECTIONAL, REPLACEMENT, *BRACKETS.values())
RIGHT_TO_LEFT = (SCRIPT["HEBREW"], SCRIPT["ARABIC"])

JOINERS = (0x200C, 0x200D)  # spelling in Persian and Indic scripts, glue in emoji
OVERRIDES = (0x202D, 0x202E)  # show a text in another order than it is read: CVE-2021-42574
DIRECTIONS = (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
ZERO_WIDTH = (*JOINERS, 0x00AD, 0x034F, 0x180E, 0x200B, *range(0x2060, 0x2065), 0x3164, 0xFEFF, 0xFFA0)
# Every invisible, direction or control character, for the engine behind Polars.
HIDDEN = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x{84}\x{86}-\x{9f}\x{ad}\x{34f}\x{61c}\x{180e}\x{200b}-\x{200f}\x{202a}-\x{202e}"
    r"\x{2060}-\x{2069}\x{3164}\x{feff}\x{ffa0}\x{e0000}-\x{e01ef}]"
)
# Letters of ASCII that nobody sees, and variants of a glyph: both can carry a text within a text.
TAGS, PAST_TAGS = 0xE0000, 0xE01F0
FLAG = 0x1F3F4  # the tags behind it spell a country
RULES = [ord(character) for character in "-=_.*#~+|`·…—–─━═█▓▒░■□▀▄"]
WHITE_CONTROLS = (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85)


class Characters(NamedTuple):
    """By text: how many characters of each kind, the longest run of one, and hidden ones that do not belong there."""

    counts: Ints  # KINDS x texts
    longest_run: Ints  # characters; white space and drawn lines do not count
    invisible: Ints
    bidirectional: Ints

    def of(self, *kinds: int) -> Ints:
        return np.asarray(self.counts[list(kinds)].sum(axis=0), dtype=np.int64)

    @property
    def unclosed_brackets(self) -> Ints:
        """Opened more often than closed; `1)` and `:)` close what was never opened, and make up for none but one."""
        missing = [np.maximum(self.of(opened) - self.of(closed), 0) for opened, closed in OPEN_AND_CLOSE]
        return np.asarray(np.sum(missing, axis=0), dtype=np.int64)


def characters_of(texts: pl.Series) -> Characters:
    """The characters of texts without nulls."""
    parts = [_measured(texts.slice(first, count)) for first, count in _slices(texts)]
    return (
        parts[0] if len(parts) == 1 else Characters(*(np.concatenate(of, axis=-1) for of in zip(*parts, strict=True)))
    )


def _slices(texts: pl.Series) -> Iterator[tuple[int, int]]:
    """First text and number of texts of consecutive parts of about SLICE_CHARS characters; one part at least."""
    number = np.cumsum(texts.str.len_chars().to_numpy(), dtype=np.int64) // SLICE_CHARS
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(texts)]
    for first, past in pairwise(cuts):
        yield first, past - first


def _measured(texts: pl.Series) -> Characters:
    is_ascii = (texts.str.len_bytes() == texts.str.len_chars()).to_numpy()
    if is_ascii.all():
        return _measured_bytes(texts)
    found = Characters(np.zeros((KINDS, len(texts)), np.int64), *np.zeros((3, len(texts)), np.int64))
    for chosen, measured in ((is_ascii, _measured_bytes), (~is_ascii, _measured_points)):
        for of_all, of_some in zip(found, measured(texts.filter(pl.Series(chosen))), strict=True):
            of_all[..., chosen] = of_some
    return found


def _measured_bytes(texts: pl.Series) -> Characters:
    """The same for texts in ASCII: only what is no lower-case letter is looked at one by one."""
    data, ends = utf8(texts)
    kinds = looked_up(data, kind_table()[:256].tobytes())
    at = np.flatnonzero(kinds != LOWER_LATIN)
    others = np.diff(np.searchsorted(at, ends), prepend=0)
    lengths = np.diff(ends, prepend=0)
    counts = _counted(kinds[at], np.repeat(np.arange(len(texts)), others), len(texts))
    counts[LOWER_LATIN] = lengths - others
    none = np.zeros(len(texts), dtype=np.int64)
    return Characters(counts, _longest_runs(data, kinds, ends, lengths), none, none)


def _measured_points(texts: pl.Series) -> Characters:
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    points = np.frombuffer("".join(texts.to_list()).encode("utf-32-le"), dtype=np.uint32)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    kinds = kind_table()[np.minimum(points, CODE_POINTS - 1)]
    kinds[(points >= TAGS) & (points < PAST_TAGS)] = INVISIBLE
    counts = _counted(kinds, owners, len(lengths))
    has_right_to_left = counts[list(RIGHT_TO_LEFT)].sum(axis=0) > 0
    return Characters(
        counts,
        _longest_runs(points, kinds, np.cumsum(lengths), lengths),
        np.bincount(owners[_misplaced(points, kinds)], minlength=len(lengths)),
        np.bincount(owners[_turning(points, kinds, has_right_to_left[owners])], minlength=len(lengths)),
    )


def _counted(kinds: npt.NDArray[np.uint8], owners: Ints, texts: int) -> Ints:
    """How often each kind stands in each text, KINDS x texts."""
    cells = (np.arange(KINDS) * texts)[kinds] + owners
    return np.bincount(cells, minlength=KINDS * texts).reshape(KINDS, texts)


def _misplaced(points: npt.NDArray[np.uint32], kinds: npt.NDArray[np.uint8]) -> Ints:
    """Where an invisible character stands that neither spells a word of its script nor glues an emoji together."""
    places = np.flatnonzero(kinds == INVISIBLE)
    before = kinds[np.maximum(places - 1, 0)]
    spells = (before >= FIRST_SCRIPT) & ~np.isin(before, WITH_CASE) | np.isin(before, (MARK, SYMBOL))
    misplaced = places[~(np.isin(points[places], JOINERS) & spells)]
    return misplaced[~_after_what_it_belongs_to(points, kinds, misplaced)]


def _after_what_it_belongs_to(points: npt.NDArray[np.uint32], kinds: npt.NDArray[np.uint8], places: Ints) -> Booleans:
    """The tags of a flag, and the one variant of a Han character."""
    tags = (points >= TAGS) & (points < PAST_TAGS)
    first = np.maximum.accumulate(np.where(tags, 0, np.arange(len(points))))[places]  # the last before the run of tags
    is_flag = points[first] == FLAG
    is_variant = (places - first == 1) & (kinds[first] == SCRIPT["CJK"])
    return np.asarray(tags[places] & (is_flag | is_variant), dtype=np.bool_)


def _turning(points: npt.NDArray[np.uint32], kinds: npt.NDArray[np.uint8], right_to_left: Booleans) -> Ints:
    """Where the direction of writing is changed in a text without right-to-left letters, or is overridden in any."""
    places = np.flatnonzero(kinds == BIDIRECTIONAL)
    return places[~right_to_left[places] | np.isin(points[places], OVERRIDES)]


def _longest_runs(points: npt.NDArray[Any], kinds: npt.NDArray[np.uint8], ends: Ints, lengths: Ints) -> Ints:
    """Length of each text's longest run of one character that is neither white space nor draws a line."""
    same = np.flatnonzero((points[1:] == points[:-1]) & (kinds[1:] != SPACE)) + 1
    same = same[~_draws_line().take(points[same], mode="clip")]
    owners = np.searchsorted(ends, same, side="right")
    within = same > (ends - lengths)[owners]  # the first character of a text follows none
    same, owners = same[within], owners[within]
    longest = np.where(lengths > 0, 1, 0)
    first = np.flatnonzero(np.diff(same, prepend=-1) != 1)
    runs = np.diff(np.append(first, len(same))) + 1
    np.maximum.at(longest, owners[first], runs)
    return longest


@cache
def _draws_line() -> Booleans:
    """Code point -> whether it is one of RULES."""
    table = np.zeros(CODE_POINTS, dtype=np.bool_)
    table[RULES] = True
    return table


@cache
def kind_table() -> npt.NDArray[np.uint8]:
    """Code point -> kind."""
    table = np.fromiter((_kind(chr(point)) for point in range(CODE_POINTS)), dtype=np.uint8, count=CODE_POINTS)
    table[list(WHITE_CONTROLS)] = SPACE
    table[list(ZERO_WIDTH)] = INVISIBLE
    table[list(DIRECTIONS)] = BIDIRECTIONAL
    table[0xFFFD] = REPLACEMENT
    return table


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if character in BRACKETS:
        return BRACKETS[character]
    if category[0] == "L":
        script = SCRIPT.get(unicodedata.name(character, "OTHER").split()[0], FIRST_SCRIPT)
        return script + UPPER if category in ("Lu", "Lt") else script
    by_category = {"Nd": DIGIT, "Nl": NUMBER, "No": NUMBER, "Cc": CONTROL}
    by_class = {"M": MARK, "Z": SPACE}
    return by_category.get(category, by_class.get(category[0], SYMBOL))
