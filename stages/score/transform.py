"""One column per signal beside every row; nothing is decided and nothing is dropped."""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.private_data import KINDS, count_of
from stages.score import characters
from stages.score.arithmetic import wrong_equation
from stages.score.characters import Characters, characters_of
from stages.score.formats import asks_for_code, format_mismatch, has_code
from stages.score.language import WITHOUT_LATIN, languages_of
from stages.score.phrases import ASKS_FOR_LANGUAGE
from stages.score.repetition import RUN_NAMES, copied_share, repetition
from stages.score.signals import SIGNALS
from stages.score.stage import ScoreParams
from stages.score.texts import pieces, texts_of
from stages.word_bytes import Ints
from stages.word_runs import Runs, run_hashes, word_hashes

LATIN_LETTERS = 5  # a word of another language
COPIED_WORDS = 3  # a run that grammar alone does not make
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
    words = word_hashes(texts["prompt"]), word_hashes(texts["answers"])
    texts = texts.with_columns(
        word_count=pl.Series(words[1].counts), asks_for_code=asks_for_code(), has_code=has_code()
    )
    asked, said = characters_of(texts["prompt"]), characters_of(texts["answers"])
    told = texts.select(signal.alias(name) for name, signal in SIGNALS.items())
    measured = told.with_columns(
        **_words(texts, words, (asked, said)),
        **_shares(said),
        **_hidden(texts["whole"]),
        **texts.select(count_of(kind, pl.col("whole")).alias(f"{kind}_count") for kind in KINDS).to_dict(),
        wrong_equation=wrong_equation(texts["prompt"], texts["answers"]),
    )
    both = measured.hstack(texts.select("prompt", "is_document"))
    return Scored(unique.hstack(both.with_columns(_agreement()).select(COLUMNS)))


def _words(
    texts: pl.DataFrame, words: tuple[Runs, Runs], written: tuple[Characters, Characters]
) -> dict[str, pl.Series]:
    """Repetition, copying, diversity and languages, by the words and characters of prompts and of answers."""
    prompts, answers = words
    runs = {length: run_hashes(answers, length) for length in RUN_NAMES}
    copied = copied_share(runs[COPIED_WORDS], run_hashes(prompts, COPIED_WORDS))
    found = repetition(answers, runs, pieces(texts, "\n"), pieces(texts, "\n\n"))
    return found | {
        "answer_copies_prompt_share": copied.set(texts["is_document"], None),
        "prompt_language": languages_of(written[0], prompts),
        "response_language": languages_of(written[1], answers),
    }


def _shares(said: Characters) -> dict[str, pl.Series]:
    total, letters = said.counts.sum(axis=1), said.of(*characters.LETTERS)
    parts: dict[str, tuple[Ints, Ints]] = {
        "symbol_share": (said.of(*characters.SYMBOLS), total),
        "digit_share": (said.of(characters.DIGIT), total),
        "uppercase_share": (said.of(*characters.UPPER_CASE), said.of(*characters.WITH_CASE)),
        "whitespace_share": (said.of(characters.SPACE), total),
        "nonalphabetic_share": (total - letters - said.of(characters.MARK), total),
    }
    shares = {
        name: pl.Series(np.divide(part, of, out=np.zeros(len(of)), where=of > 0)) for name, (part, of) in parts.items()
    }
    return shares | {
        "longest_character_run": pl.Series(said.longest_run),
        "unclosed_brackets": pl.Series(said.unclosed_brackets),
    }


def _hidden(whole: pl.Series) -> dict[str, pl.Series]:
    """Characters that nobody sees, in any turn; only the few texts that have some are counted."""
    rows = whole.str.contains(characters.HIDDEN)
    found = characters_of(whole.filter(rows))
    counted = {
        "invisible_count": found.invisible,
        "bidirectional_count": found.bidirectional,
        "control_count": found.of(characters.CONTROL),
    }
    none, places = pl.zeros(len(whole), dtype=pl.Int64, eager=True), rows.arg_true()
    return {name: none.clone().scatter(places, counts) for name, counts in counted.items()}


def _agreement() -> list[pl.Expr]:
    """Whether question and answer fit each other in language and form."""
    prompt, response = pl.col("prompt_language"), pl.col("response_language")
    free = ~pl.col("prompt").str.contains(ASKS_FOR_LANGUAGE) & (pl.col("answer_format") != "code")
    # A Chinese question about an English word may be answered in English.
    quotes_latin = prompt.is_in(WITHOUT_LATIN) & (pl.col("prompt").str.count_matches("[A-Za-z]") >= LATIN_LETTERS)
    return [
        pl.when(free & ~quotes_latin).then(prompt != response).alias("language_mismatch"),
        format_mismatch().alias("format_mismatch"),
    ]
