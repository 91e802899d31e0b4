"""One column per signal beside every row; nothing is decided and nothing is dropped."""

from typing import NamedTuple

import polars as pl

from stages.score.arithmetic import wrong_equation
from stages.score.counts import counts_in_slices
from stages.score.formats import format_mismatch
from stages.score.language import WITHOUT_LATIN
from stages.score.phrases import LANGUAGE_NAMES
from stages.score.promises import unasked_repetition
from stages.score.repetition import RUN_NAMES
from stages.score.signals import BEFORE, SIGNALS
from stages.score.stage import ScoreParams
from stages.score.texts import texts_of
from stages.texts.conversation_text import read_where
from stages.texts.private_data import KINDS, counts_of

READ_BY_SIGNALS = ("word_count", "has_numbers", "prompt_language", "response_language", "prompt_cues", "answers_cues")
LATIN_LETTERS = 5  # a word of another language
# In the order of schemas/scored.yaml.
COLUMNS = (
    "prompt_chars", "response_chars", "response_words", "repeated_trigram_share", "answer_copies_prompt_share",
    "symbol_share", "digit_share", "ends_unfinished", "refusal_phrase", "template_leak", "placeholder_input", "url_count",
    "task_type", "words_over_limit", "missing_items", "distinct_word_share", "repeated_bigram_share",
    "repeated_fourgram_share", "top_bigram_share", "top_trigram_share", "top_fourgram_share", "repeated_line_share",
    "repeated_paragraph_share", "longest_character_run", "uppercase_share", "whitespace_share", "nonalphabetic_share",
    "invisible_count", "bidirectional_count", "control_count", "mojibake_count", "unclosed_brackets",
    "unclosed_code_fence", "knowledge_cutoff", "merged_instruction", "missing_text", "prompt_url_count",
    "prompt_language", "response_language", "language_mismatch", *(f"{kind}_count" for kind in KINDS),
    "answer_format", "asked_format", "format_mismatch", "hedge_phrase", "unhelpful_phrase", "contradiction",
    "wrong_equation",
)  # fmt: skip


class Scored(NamedTuple):
    scored: pl.DataFrame


def transform(unique: pl.DataFrame, *, params: ScoreParams) -> Scored:
    """`unique` with COLUMNS behind its own, in the same order of rows."""
    texts = texts_of(unique)
    counted = counts_in_slices(texts)
    known = texts.hstack(counted.select(READ_BY_SIGNALS))
    for columns in BEFORE:
        known = known.with_columns(**columns)
    told = known.select(signal.alias(name) for name, signal in SIGNALS.items())
    measured = told.hstack(counted).with_columns(
        **{f"{kind}_count": counts for kind, counts in counts_of(texts["whole"]).items()},
        wrong_equation=wrong_equation(texts["prompt"], texts["answers"]),
    )
    both = measured.hstack(texts.select("prompt", "ending", "is_document"))
    both = both.with_columns(unasked_repetition([f"repeated_{name}_share" for name in RUN_NAMES.values()]))
    return Scored(unique.hstack(both.with_columns(_agreement()).select(COLUMNS)))


def _agreement() -> list[pl.Expr]:
    """Whether question and answer fit each other in language and form."""
    prompt, response = pl.col("prompt_language"), pl.col("response_language")
    named = pl.col("prompt").str.to_lowercase().str.contains_any(LANGUAGE_NAMES)
    free = ~named & (pl.col("answer_format") != "code")
    # A Chinese question about an English word may be answered in English.
    other_script = read_where(prompt.is_in(WITHOUT_LATIN).fill_null(value=False), pl.col("prompt"))
    quotes_latin = other_script.str.count_matches("[A-Za-z]") >= LATIN_LETTERS
    return [
        pl.when(free & ~quotes_latin).then(prompt != response).alias("language_mismatch"),
        format_mismatch().alias("format_mismatch"),
    ]
