"""What array code measures on texts: words, repetition, languages, kinds of characters; and the cues of costly patterns."""

import numpy as np
import polars as pl

from stages.score import characters
from stages.score.characters import Characters, characters_of
from stages.score.cues import cue_columns
from stages.score.language import languages_of
from stages.score.repetition import copied_share, repeats_of, repetition, run_repeats
from stages.score.texts import pieces
from stages.texts.conversation_text import read_where
from stages.texts.word_bytes import Ints
from stages.texts.word_runs import Runs, run_hashes, word_hashes

SLICE_ROWS = 4096  # the arrays of more rows outgrow the caches of a processor
COPIED_WORDS = 3  # a run that grammar alone does not make


def counts_in_slices(texts: pl.DataFrame) -> pl.DataFrame:
    """The counts and shares of the texts of `texts_of`, with `word_count` (of `answers`), `has_numbers` (both
    prompt and answers) and the bits of their cues.
    """
    starts = range(0, max(texts.height, 1), SLICE_ROWS)
    counted = pl.concat([_counts(texts.slice(start, SLICE_ROWS)) for start in starts])
    return counted.with_columns(**_pieces(texts), **_hidden(texts, counted["has_control"]))


def _pieces(texts: pl.DataFrame) -> dict[str, pl.Series]:
    """How many lines and paragraphs stood there before."""
    separators = {"line": "\n", "paragraph": "\n\n"}
    return {
        f"repeated_{name}_share": repeats_of(pieces(texts["answers"], separator)).repeated_share
        for name, separator in separators.items()
    }


def _counts(texts: pl.DataFrame) -> pl.DataFrame:
    words = word_hashes(texts["prompt"]), word_hashes(texts["answers"])
    runs = {length: run_hashes(words[1], length) for length in (2, COPIED_WORDS)}
    written = characters_of(texts["prompt"]), characters_of(texts["answers"])
    return pl.DataFrame(
        {
            "word_count": pl.Series(words[1].counts),
            "has_numbers": np.logical_and(*(text.of(characters.DIGIT) > 0 for text in written)),
            "has_control": np.logical_or(*(text.of(characters.CONTROL) > 0 for text in written)),
            **cue_columns(texts, *words, runs[2]),
            **_words(texts, words, runs, written),
            **_shares(written[1]),
        }
    )


def _words(
    texts: pl.DataFrame,
    words: tuple[Runs, Runs],
    runs: dict[int, Runs],
    written: tuple[Characters, Characters],
) -> dict[str, pl.Series]:
    """Repetition, copying, diversity and languages, by the words and characters of prompts and of answers."""
    prompts, answers = words
    repeats = run_repeats(answers, runs)
    copied = copied_share(runs[COPIED_WORDS], run_hashes(prompts, COPIED_WORDS), repeats[COPIED_WORDS].distinct)
    return repetition(answers, repeats) | {
        "answer_copies_prompt_share": copied.set(texts["is_document"], None),
        "prompt_language": languages_of(written[0], prompts),
        "response_language": languages_of(written[1], answers),
    }


def _shares(said: Characters) -> dict[str, pl.Series]:
    total, letters = said.counts.sum(axis=0), said.of(*characters.LETTERS)
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


def _hidden(texts: pl.DataFrame, has_control: pl.Series) -> dict[str, pl.Series]:
    """Characters that nobody sees, in any turn; only the few texts that have some are counted."""
    whole = texts["whole"]
    read = read_where(_may_hide() | has_control, pl.col("whole"))
    rows = texts.select(read.str.contains(characters.HIDDEN)).to_series()
    found = characters_of(whole.filter(rows))
    counted = {
        "invisible_count": found.invisible,
        "bidirectional_count": found.bidirectional,
        "control_count": found.of(characters.CONTROL),
    }
    none, places = pl.zeros(len(whole), dtype=pl.Int64, eager=True), rows.arg_true()
    return {name: none.clone().scatter(places, counts) for name, counts in counted.items()}


def _may_hide() -> pl.Expr:
    """Where prompt and answers, which are searched for control characters, are not all of the conversation, or it is
    not all ASCII.
    """
    sizes = {name: pl.col(name).str.len_bytes() for name in ("prompt", "answers", "whole")}
    return (sizes["whole"] != sizes["prompt"] + sizes["answers"] + 1) | (
        sizes["whole"] != pl.col("whole").str.len_chars()
    )
