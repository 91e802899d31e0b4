"""What a word stands for when the same thing is said in other words: a number, a group of synonyms, or its stem."""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from stages.decontaminate.synonyms import SYNONYMS

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_UNITS += " seventeen eighteen nineteen"
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBERS: dict[str, str] = {word: str(value) for value, word in enumerate(_UNITS.split())}
NUMBERS |= {word: str(value) for word, value in _TENS.items()}
NUMBERS |= {"hundred": "100", "thousand": "1000", "million": "1000000", "dozen": "12", "dozens": "12"}
NUMBERS |= {"half": "0.5", "halves": "0.5", "halved": "0.5", "quarter": "0.25", "quarters": "0.25", "third": "3"}
NUMBERS |= {"once": "1", "twice": "2", "double": "2", "doubled": "2", "doubles": "2", "pair": "2", "thrice": "3"}
NUMBERS |= {"triple": "3", "tripled": "3", "triples": "3", "quadruple": "4"}
_DIGITS = _UNITS.split()[1:10]

# Numbers of two words, with their digits: "twenty-five", "two hundred".
COMPOUND_NUMBERS: dict[str, str] = {
    f"{tens}{joint}{unit}": str(value + number)
    for tens, value in _TENS.items()
    for number, unit in enumerate(_DIGITS, 1)
    for joint in "- "
} | {
    f"{unit} {name}": str(number * size)
    for number, unit in enumerate(_DIGITS, 1)
    for name, size in (("hundred", 100), ("thousand", 1000))
}

_FUNCTION_WORDS = """
a about after again all also am among an and any are aren as at be because been before being but by can could did
didn do does doesn doing don down during each else ever every few for from further get gets getting give given gives
go goes going got had has hasn have haven having he her here hers him his how i if in into is isn it its itself just
let like ll make makes many may me might more most much must my need needs no nor not now of off on only onto or
other others our out over own per please put re s same she should so some still such t take takes than that the their
theirs them then there these they this those through thus to too under until up upon us use used uses using ve very
was wasn way we well went were what when where whether which while who whom whose why will with within without won
would you your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

# Longest first; what is left must still be a word of three letters or more.
_SUFFIXES = ["ization", "isation", "fulness", "ousness", "iveness", "ations", "ation", "ments", "ities", "ingly"]
_SUFFIXES += ["ment", "ness", "ally", "able", "ible", "edly", "ing", "ies", "ied", "ity", "ion", "ers", "est"]
_SUFFIXES += ["ed", "es", "er", "ly", "al", "s", "e", "(?<![aeiou])y"]
_ENDING = re.compile(rf"(?<=\w{{3}})(?:{'|'.join(_SUFFIXES)})$")
LEAST_STEMMED = 4  # a shorter word has no ending to lose
KEPT_WORDS = 1 << 17  # of which it is remembered what they stand for: most rows say what others said


def stem(word: str) -> str:
    """A word without its English ending; words of other scripts have none and stay as they are."""
    if len(word) < LEAST_STEMMED or not word.isascii():
        return word
    short = _ENDING.sub("", word)
    if short.endswith("s") and len(short) > LEAST_STEMMED and not short.endswith("ss"):
        short = short[:-1]
    return short[:-1] if len(short) >= LEAST_STEMMED and short[-1] == short[-2] else short


class Concepts(NamedTuple):
    """What words stand for."""

    of_words: dict[str, str]
    of_stems: dict[str, str]


@cache
def _concepts() -> Concepts:
    groups = [line.split() for line in SYNONYMS.split("\n")]
    of_words = {word: group[0] for group in groups for word in group}
    of_stems: dict[str, str] = {}
    for word, concept in of_words.items():
        of_stems.setdefault(stem(word), concept)
    return Concepts(of_words, of_stems)


@lru_cache(maxsize=KEPT_WORDS)
def concept_of(word: str) -> str:
    """What a lower-case word stands for: `#` and a number, or a name that words of the same meaning share."""
    if word in NUMBERS:
        return "#" + NUMBERS[word]
    if word[0].isdecimal():
        try:
            return f"#{float(word[:-1]) / 100 if word[-1] == '%' else float(word):.12g}"
        except ValueError:
            return word
    if word in FUNCTION_WORDS:
        return word
    known, short = _concepts(), stem(word)
    return known.of_words.get(word) or known.of_stems.get(short, short)  # "move" is no form of "movie"
