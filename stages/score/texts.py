"""The texts and facts of each conversation that the signals are measured on."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from stages.texts.conversation_text import answers_text, every_text, prompt_text, response_text
from stages.texts.word_runs import Runs

# A line or paragraph counts when it has a letter or digit: braces, rules and tags of markup repeat rightly.
_SAYS_SOMETHING = r"[\p{L}\p{N}]"


def texts_of(conversations: pl.DataFrame) -> pl.DataFrame:
    """`prompt` (user and tool turns), `answers` (assistant turns, or a document's text), `ending` (the last of them),
    `whole` (every turn), the source's `task`, and what kind of conversation it is.
    """
    last = pl.col("messages").list.last().struct
    users = pl.col("messages").list.eval(pl.element().struct.field("role") == "user").list.sum()
    return conversations.select(
        prompt=prompt_text(),
        answers=answers_text(),
        ending=response_text(),
        whole=every_text(),
        task=pl.col("task"),
        is_document=last.field("role") == "text",
        is_call=(last.field("content") == "") & (last.field("tool_calls").fill_null("") != ""),
        is_single=(users == 1) & (pl.col("messages").list.len() == 2),
    )


def first_group(pattern: str, text: pl.Expr) -> pl.Expr:
    """What the first group of `pattern` that matched found; null without a match."""
    return first_of([pattern], text)


def first_of(patterns: Sequence[str], text: pl.Expr) -> pl.Expr:
    """What the first group of the first of `patterns` that matched found; null without a match.

    Several patterns take less time than one of all where that gets too big for the engine's fast way of reading.
    """

    def found(texts: pl.Series) -> pl.Series:
        told = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
        for pattern in patterns:
            places = (texts.str.contains(pattern) & told.is_null()).arg_true()
            if len(places):
                groups = texts.gather(places).str.extract_groups(pattern).struct.unnest()
                told = told.scatter(places, groups.select(pl.coalesce(pl.all())).to_series())
        return told

    return text.map_batches(found, return_dtype=pl.String)


def pieces(texts: pl.Series, separator: str) -> Runs:
    """Hashes of the parts of each text between separators that say something, white space at their ends removed; none
    of a text without a separator.
    """
    rows = texts.str.contains(separator, literal=True).arg_true()
    parts = pl.DataFrame([rows.alias("row"), texts.gather(rows).str.split(separator).alias("part")]).explode("part")
    stripped = parts.with_columns(pl.col("part").str.strip_chars())
    told = stripped.filter(pl.col("part").str.contains(_SAYS_SOMETHING))
    return Runs(told["part"].hash().to_numpy(), np.bincount(told["row"], minlength=len(texts)))
