"""Whether an answer keeps to what its question asks, and to what it says itself (expressions).

Columns they read: `prompt`, `answers`, `ending`, `is_single` (one question, one answer), `word_count` (of `answers`).
"""

from collections.abc import Sequence

import polars as pl

from stages.score.cues import read_by
from stages.score.phrases import EDGE
from stages.score.texts import first_group
from stages.texts.conversation_text import read_where

_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_LIMITS = _COUNTS | {
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "one hundred": 100,
    "a hundred": 100,
}
_WORDS = rf"([0-9]{{1,4}}|{'|'.join(_LIMITS)}) words"
WORD_LIMIT = (
    rf"(?i){EDGE}(?:(?:in|using|with) )?(?:(?:not? more|fewer|less) than|at most|a maximum of|maximum|max\.?|up to|under|below|not exceed(?:ing)?|within) "
    rf"{_WORDS}{EDGE}|{EDGE}{_WORDS} (?:or (?:less|fewer)|max(?:imum)?|at most|limit){EDGE}|{EDGE}([0-9]{{1,4}})[- ]word limit"
)
ITEMS = (
    rf"(?i)^(?:please )?(?:(?:can|could|would) you (?:please )?)?(?:what are|tell me|list|name|give(?: me)?|provide|suggest|generate|write|create|identify|describe|recommend|propose|come up with|brainstorm) "
    rf"(?:a list of )?(?:the )?(?:top )?({'|'.join(_COUNTS)}|[2-9]|1[0-9]|20) (?:[a-z-]+ ){{0,3}}?[a-z]+s{EDGE}"
)
SOME_REPETITION = 0.5  # songs and tables reach it
ASKS_TO_REPEAT = rf"(?i){EDGE}(?:[0-9]+|{'|'.join(_LIMITS)}|many|several|over and over) (?:times|copies)|{EDGE}repeat(?:ed|ing|edly)?{EDGE}|重复|重複|wiederhol|répét|repit|repet"
_NUMBERED = r"(?m)^[ \t]*(?:[-*+•]|[0-9]{1,2}[.):])[ \t]*\S"
_AGREES = r"yes|true|correct|right|ja|sí|oui|sim|да"
_DENIES = r"no|false|incorrect|wrong|nein|nee|non|não|нет"
_OPENS = rf"(?i)^\W*(?:{_AGREES}|{_DENIES})[,.!:;]"
_AGAIN = r"(?i:(?:actually|wait)[,.]? )?"
_CHANGES_MIND = (
    rf"(?s)^\W*(?:{_AGREES})[,.!:;].*?[.!?\n]\s*({_AGAIN}(?:{_DENIES})[,.!] \S+)"
    rf"|(?s)^\W*(?:{_DENIES})[,.!:;].*?[.!?\n]\s*({_AGAIN}(?:{_AGREES})[,.!] \S+)"
)
# Another verdict of somebody else, or for another case, takes nothing back.
_OTHER_CASE = r"[,.!] (?:says?|said|some|others?|many|according|argue|if|when|unless|where|on|in|at|for|during|with|without|not|wenn|falls|si|se|si|sagen|disent|dicen|если)$"
_RESULT = r"(?i)(?:(?:final |correct )?(?:answer|result)(?: is| ?=| ?:)|####|\\boxed\{|答案(?:是|为|：|:))[ \t*:]*[$€£]?(-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)"


def unasked_repetition(shares: Sequence[str]) -> list[pl.Expr]:
    """The shares of these names, 0 where the question asks to say something again and again, and in an answer of numbers:
    vectors, boards and tables rightly hold the same few.
    """
    repeats = pl.max_horizontal(shares) > SOME_REPETITION
    asked = read_where(repeats, pl.col("prompt")).str.contains(ASKS_TO_REPEAT)
    of_numbers = pl.col("digit_share") > 1 - pl.col("nonalphabetic_share")
    rightly = repeats & (asked | of_numbers)
    return [pl.when(rightly).then(0.0).otherwise(share).alias(share) for share in shares]


def words_over_limit() -> pl.Expr:
    """Words of the answer beyond the most that the question allows; null where it sets no limit."""
    prompt = read_by("word_limit", "prompt")
    limit = first_group(WORD_LIMIT, prompt).str.to_lowercase().replace(_LIMITS).cast(pl.Int64)
    at_least = prompt.str.contains(rf"(?i){EDGE}no (?:less|fewer) than [0-9]|[0-9] words (?:each|per){EDGE}")
    over = (pl.col("word_count") - limit).clip(0)
    return pl.when(pl.col("is_single") & ~at_least).then(over)


def missing_items() -> pl.Expr:
    """Items that the question asks for by number and the answer's list lacks; null without a number or a list."""
    asked = read_by("items", "prompt").str.extract(ITEMS, 1).str.to_lowercase()
    number = asked.replace(_COUNTS).cast(pl.Int64, strict=False)
    listed = read_where(asked.is_not_null(), pl.col("ending")).str.count_matches(_NUMBERED).cast(pl.Int64)
    return pl.when(pl.col("is_single") & (listed >= 2)).then((number - listed).clip(0))


def contradiction() -> pl.Expr:
    """The words with which the last answer takes back what it said: another verdict, or another final result."""
    ending = pl.col("ending")
    verdict = read_where(ending.str.contains(_OPENS), ending).str.to_lowercase()
    again = first_group(_CHANGES_MIND, verdict)
    taken_back = pl.when(~again.str.contains(_OTHER_CASE)).then(again.str.extract(r"^(.*[,.!]) ", 1))
    told = read_where((read_by("result", "answers") != "") | ending.str.contains("####", literal=True), ending)
    results = told.str.extract_all(rf"{_RESULT}(?: (?:for|in|if|when|with|at|on) [a-z]+|(?: ?[a-z]+)? ?[-+*/×÷=])?")
    results = results.list.filter(~pl.element().str.contains("[-A-Za-z+*/×÷=]$"))  # of another case, or it goes on
    numbers = results.list.eval(pl.element().str.extract(_RESULT, 1).str.replace_all(",", "").cast(pl.Float64))
    differ = numbers.list.n_unique() > 1
    one_question = pl.col("prompt").str.count_matches("?", literal=True) <= 1
    return pl.when(pl.col("is_single") & one_question).then(
        pl.coalesce(taken_back, pl.when(differ).then(results.list.last()))
    )
