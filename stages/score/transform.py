"""One column per signal beside every row; nothing is decided and nothing is dropped."""

from typing import NamedTuple

import polars as pl

from stages.conversation_text import answers_text, prompt_text, response_text, words
from stages.score.signals import SIGNALS, trigrams
from stages.score.stage import ScoreParams


class Scored(NamedTuple):
    scored: pl.DataFrame


def transform(unique: pl.DataFrame, *, params: ScoreParams) -> Scored:
    """`unique` with the columns of SIGNALS behind its own, in the same order of rows."""
    texts = unique.select(
        prompt=prompt_text(),
        answers=answers_text(),
        ending=response_text(),
        is_document=_last_role() == "text",
    )
    lower_words = texts.select(
        prompt_words=words(pl.col("prompt").str.to_lowercase()),
        answer_words=words(pl.col("answers").str.to_lowercase()),
    )
    measured = texts.hstack(lower_words).with_columns(
        prompt_trigrams=trigrams("prompt_words"),
        answer_trigrams=trigrams("answer_words"),
    )
    return Scored(unique.hstack(measured.select(signal.alias(name) for name, signal in SIGNALS.items())))


def _last_role() -> pl.Expr:
    return pl.col("messages").list.last().struct.field("role")
