"""The signals, as Polars expressions over a conversation's texts.

Columns they read: `prompt` (user and tool turns), `answers` (assistant turns, or a document's text), `ending` (the last
answer), `answer_words`, the two lists of `*_trigrams`, and `is_document` (plain text: nobody asked, nobody answers).
Units and polarity stand in the names; a share of nothing is 0. A signal is null where it does not apply: a document has
no prompt that could be copied, and no speaker who could refuse.
"""

import polars as pl

from stages.score import phrases

TRIGRAM = 3  # words; Alpaca's own near-duplicates and loops show at this length, at two words grammar does
ENOUGH_WORDS = 5  # below it an answer such as "working on" or "the" is a phrase that was asked for
# Odd, so that each multiplication keeps all 64 bits, and different, so that the order of the words counts.
MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # golden ratio and xxHash64's primes 2 and 3


def trigrams(column: str) -> pl.Expr:
    """A 64-bit hash of each run of three neighbouring words; empty for fewer than three."""
    word = pl.element()
    runs = [word.shift(-place) * pl.lit(factor, pl.UInt64) for place, factor in enumerate(MULTIPLIERS)]
    return pl.col(column).list.eval(pl.element().hash()).list.eval((runs[0] + runs[1] + runs[2]).drop_nulls())


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole).otherwise(0.0)


def _in_conversations(signal: pl.Expr) -> pl.Expr:
    """`signal`, null for documents."""
    return pl.when(~pl.col("is_document")).then(signal)


def _found(pattern: str) -> pl.Expr:
    return pl.col("answers").str.extract(f"({pattern})", 1)


def _repeated_share() -> pl.Expr:
    runs = pl.col("answer_trigrams")
    return _share(runs.list.len().cast(pl.Int64) - runs.list.n_unique(), runs.list.len())


def _copied_share() -> pl.Expr:
    answer, prompt = pl.col("answer_trigrams"), pl.col("prompt_trigrams")
    return _share(answer.list.set_intersection(prompt).list.len(), answer.list.n_unique())


def _template_leak() -> pl.Expr:
    """The first mark of a chat template in the answers that its prompt does not have, and so does not ask for."""
    prompt, answers = pl.col("prompt"), pl.col("answers")
    markup = pl.when(~prompt.str.contains(phrases.MARKUP)).then(_found(phrases.MARKUP))
    label = pl.when(~prompt.str.contains(phrases.ASKS_FOR_DIALOGUE)).then(answers.str.extract(phrases.ROLE_LABEL, 1))
    return pl.coalesce(markup, label)


def _ends_unfinished() -> pl.Expr:
    ending = pl.col("ending")
    open_word = ending.str.contains(phrases.OPEN_WORD) & (pl.col("answer_words").list.len() >= ENOUGH_WORDS)
    open_fence = ending.str.count_matches("```", literal=True) % 2 == 1
    return ending.str.contains(phrases.OPEN_END) | open_word | open_fence


def _characters(of_class: str) -> pl.Expr:
    return _share(pl.col("answers").str.count_matches(of_class), pl.col("answers").str.len_chars())


SIGNALS: dict[str, pl.Expr] = {
    "prompt_chars": _in_conversations(pl.col("prompt").str.len_chars().cast(pl.Int64)),
    "response_chars": pl.col("answers").str.len_chars().cast(pl.Int64),
    "response_words": pl.col("answer_words").list.len().cast(pl.Int64),
    "repeated_trigram_share": _repeated_share(),
    "answer_copies_prompt_share": _in_conversations(_copied_share()),
    "symbol_share": _characters(r"[^\p{L}\p{M}\p{N}\s]"),
    "digit_share": _characters(r"\p{Nd}"),
    "ends_unfinished": _in_conversations(_ends_unfinished()),
    "refusal_phrase": _in_conversations(_found(phrases.REFUSAL)),
    "template_leak": _template_leak(),
    "placeholder_input": _in_conversations(pl.col("prompt").str.contains(phrases.PLACEHOLDER)),
    "url_count": (pl.col("prompt") + "\n" + pl.col("answers")).str.count_matches(phrases.LINK).cast(pl.Int64),
}
