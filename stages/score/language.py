"""The language of a text, as an ISO 639-1 code, from its script and its most frequent words; null = cannot be told.

Scripts that one language uses are decided by their letters. Languages that share a script are told apart by the words
of language_words.yaml, and only where one of them is clearly ahead: a guess would look like a fault in the row.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import yaml

from stages.score.characters import FIRST_SCRIPT, SCRIPTS, UPPER, Characters
from stages.texts.word_bytes import Hashes
from stages.texts.word_runs import Runs, ranges, word_hashes

WORDS = Path(__file__).parent / "language_words.yaml"
OF_SCRIPT = {
    "CYRILLIC": ("ru", "uk", "bg"), "ARABIC": ("ar", "fa", "ur"), "GREEK": ("el",), "ARMENIAN": ("hy",),
    "HEBREW": ("he",), "CJK": ("zh",), "HIRAGANA": ("ja",), "KATAKANA": ("ja",), "HANGUL": ("ko",),
    "DEVANAGARI": ("hi",), "BENGALI": ("bn",), "TAMIL": ("ta",), "TELUGU": ("te",), "GUJARATI": ("gu",),
    "GURMUKHI": ("pa",), "KANNADA": ("kn",), "MALAYALAM": ("ml",), "SINHALA": ("si",), "THAI": ("th",), "LAO": ("lo",),
    "KHMER": ("km",), "MYANMAR": ("my",), "GEORGIAN": ("ka",), "ETHIOPIC": ("am",), "TIBETAN": ("bo",),
}  # fmt: skip
ONLY_LANGUAGE = [OF_SCRIPT[script][0] if len(OF_SCRIPT.get(script, ())) == 1 else None for script in SCRIPTS]
WITHOUT_LATIN = [code for codes in OF_SCRIPT.values() for code in codes]
MIN_LETTERS = 2  # of a script that one language uses
MIN_SCORE = 1.5  # two words, one of them in no other language
MIN_SHARE = 0.08  # of the words: names and code hold a frequent word now and then
MANY_WORDS = 100  # how many distinct frequent words a text has stops growing
SLOT_BITS = 20
SLOT_SHIFT = np.uint64(64 - SLOT_BITS)
AHEAD = 1.6  # times the score of the next language


class WordTable(NamedTuple):
    """The frequent words by hash, and for which languages each speaks: word i for those from starts[i] to starts[i + 1]."""

    slots: npt.NDArray[np.int16]  # upper bits of a hash -> number of the word that may be meant
    hashes: Hashes
    starts: npt.NDArray[np.int64]
    spoken: npt.NDArray[np.int64]  # number of a language
    languages: list[str]


def languages_of(characters: Characters, words: Runs) -> pl.Series:
    """The language of each text, given its characters and the hashes of its words in lower case."""
    letters = _script_letters(characters)
    main, table = _main_script(letters), word_table()
    scores = _scores(words, table)
    enough = np.maximum(MIN_SCORE, MIN_SHARE * np.minimum(words.counts, MANY_WORDS))
    names = [*table.languages, *ONLY_LANGUAGE, None]
    found = np.where((main >= 0) & (letters.max(axis=0) >= MIN_LETTERS), len(table.languages) + main, len(names) - 1)
    for script in ("LATIN", "CYRILLIC", "ARABIC"):
        rows = np.flatnonzero(main == SCRIPTS.index(script))
        codes = OF_SCRIPT.get(script) or tuple(c for c in table.languages if c not in WITHOUT_LATIN)
        places = np.array([table.languages.index(code) for code in codes])
        chosen = _clearly_ahead(scores[np.ix_(rows, places)], enough[rows])
        found[rows] = np.append(places, len(names) - 1)[chosen]
    return pl.Series(names, dtype=pl.String).gather(found)


def _script_letters(characters: Characters) -> npt.NDArray[np.int64]:
    """Letters by script, SCRIPTS x texts; kana counts double and draws Han with it, as Japanese mixes the two."""
    lower = characters.counts[FIRST_SCRIPT : FIRST_SCRIPT + len(SCRIPTS)]
    letters = lower + characters.counts[FIRST_SCRIPT + UPPER : FIRST_SCRIPT + UPPER + len(SCRIPTS)]
    han, hiragana, katakana = (SCRIPTS.index(name) for name in ("CJK", "HIRAGANA", "KATAKANA"))
    kana = letters[hiragana] + letters[katakana]
    japanese = kana * 10 > letters[han]  # a Chinese text quotes a kana word now and then
    joined = letters.copy()
    joined[hiragana] = np.where(japanese & (kana > 0), kana + letters[han], 0)
    joined[katakana] = 0
    joined[han] = np.where(japanese & (kana > 0), 0, letters[han])
    joined[[han, hiragana]] *= 3  # a Han character or kana says about as much as three letters of Latin
    return joined


def _main_script(letters: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The script of more than half of the letters; -1 where there is none."""
    best = letters.argmax(axis=0)
    return np.where(letters.max(axis=0) * 2 > letters.sum(axis=0), best, -1)


def _scores(words: Runs, table: WordTable) -> npt.NDArray[np.float64]:
    """Texts x languages: the weights of the distinct frequent words in each text."""
    places = table.slots[words.hashes >> SLOT_SHIFT]
    known = np.flatnonzero(table.hashes[places] == words.hashes)
    size = len(table.hashes)
    pairs = words.owners[known] * size + places[known]
    pairs.sort()
    owners, places = np.divmod(pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]], size)
    counts = table.starts[places + 1] - table.starts[places]
    languages = table.spoken[ranges(table.starts[places], counts)]
    cells = np.repeat(owners, counts) * len(table.languages) + languages
    shape = (len(words.counts), len(table.languages))
    total = np.bincount(cells, weights=np.repeat(1 / counts, counts), minlength=shape[0] * shape[1])
    return np.asarray(total.reshape(shape), dtype=np.float64)


def _clearly_ahead(scores: npt.NDArray[np.float64], enough: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The language of the highest score; -1 where it is too low or another is close."""
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    clear = (first >= enough) & (first >= AHEAD * second)
    return np.where(clear, scores.argmax(axis=1), -1)


@cache
def word_table() -> WordTable:
    """The frequent words of all languages."""
    listed = {code: set(text.split()) for code, text in yaml.safe_load(WORDS.read_text(encoding="utf-8")).items()}
    every = sorted(set.union(*listed.values()))
    hashes = word_hashes(pl.Series(every)).hashes
    slots = np.zeros(1 << SLOT_BITS, dtype=np.int16)
    # Of two words in one slot the first is never found; the table is large enough for that to be one or two.
    slots[(hashes >> SLOT_SHIFT)[::-1]] = np.arange(len(every), dtype=np.int16)[::-1]
    spoken = [[number for number, words in enumerate(listed.values()) if word in words] for word in every]
    starts = np.cumsum([0, *map(len, spoken)])
    return WordTable(slots, hashes, starts, np.concatenate(spoken).astype(np.int64), list(listed))
