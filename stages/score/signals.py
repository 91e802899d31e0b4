"""The signals about words and phrases, as Polars expressions over the columns of `texts_of` and `word_count`, the words of `answers`.

Units and polarity stand in the names. A signal is null where it does not apply: a document has no prompt that could be
copied, and no speaker who could refuse.
"""

import polars as pl

from stages.score import formats, phrases, promises

ENOUGH_WORDS = 5  # below it an answer such as "working on" or "the" is a phrase that was asked for
# What every refusal and every word about a model's limits has in it; the patterns read only such answers.
SPEAKS_OF_ITSELF = [
    "language model", " ai", "artificial intelligence", "chatbot", " gpt", "trained by", "created by", "developed by",
    "made by", "training", "knowledge", "cutoff", "cut-off", "cannot", "can't", "can’t", "can not", "could not", "won't", "won’t",
    "unable", "not able", "do not have", "don't have", "don’t have", "sorry", "last update", "latest update",
]  # fmt: skip

_prompt, _answers, _ending = pl.col("prompt"), pl.col("answers"), pl.col("ending")


def _in_conversations(signal: pl.Expr) -> pl.Expr:
    """`signal`, null for documents."""
    return pl.when(~pl.col("is_document")).then(signal)


def _found(pattern: str, text: pl.Expr = _answers) -> pl.Expr:
    return text.str.extract(f"({pattern})", 1)


def _about_itself() -> pl.Expr:
    """The answers that may refuse or speak of themselves."""
    return pl.when(_answers.str.contains_any(SPEAKS_OF_ITSELF, ascii_case_insensitive=True)).then(_answers)


def _refusal() -> pl.Expr:
    foreign = pl.when(_answers.str.contains(r"(?i)[^\x00-\x7F]|modell?o|als |jako ")).then(_answers)
    return pl.coalesce(_found(phrases.REFUSAL, _about_itself()), _found(phrases.FOREIGN_REFUSAL, foreign))


def _template_leak() -> pl.Expr:
    """The first mark of a chat template in the answers that its prompt does not have, and so does not ask for."""
    markup = pl.when(~_prompt.str.contains(phrases.MARKUP)).then(_found(phrases.MARKUP))
    label = pl.when(~_prompt.str.contains(phrases.ASKS_FOR_DIALOGUE)).then(_answers.str.extract(phrases.ROLE_LABEL, 1))
    return pl.coalesce(markup, label)


def _merged_instruction() -> pl.Expr:
    labelled = _answers.str.contains_any(phrases.MERGED_LABELS, ascii_case_insensitive=True)
    read = pl.when(labelled & ~_prompt.str.contains(phrases.EXPECTS_LABELS)).then(_answers)
    return pl.coalesce([read.str.extract(phrases.MERGED, group) for group in (1, 2)])


def _missing_text() -> pl.Expr:
    read = pl.when(pl.col("is_single") & ~_prompt.str.contains(" - ", literal=True)).then(_prompt)
    return pl.coalesce([read.str.extract(phrases.MISSING_TEXT, group) for group in (1, 2, 3)])


def _unhelpful() -> pl.Expr:
    read = _answers.str.contains_any(phrases.UNHELPFUL_WORDS, ascii_case_insensitive=True)
    return _found(phrases.UNHELPFUL, pl.when(read).then(_answers))


def _open_fence() -> pl.Expr:
    return _ending.str.count_matches("```", literal=True) % 2 == 1


def _ends_unfinished() -> pl.Expr:
    open_word = _ending.str.contains(phrases.OPEN_WORD) & (pl.col("word_count") >= ENOUGH_WORDS)
    return _ending.str.contains(phrases.OPEN_END) | open_word | _open_fence()


def _links(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(phrases.LINK).cast(pl.Int64)


SIGNALS: dict[str, pl.Expr] = {
    "prompt_chars": _in_conversations(_prompt.str.len_chars().cast(pl.Int64)),
    "response_chars": _answers.str.len_chars().cast(pl.Int64),
    "response_words": pl.col("word_count"),
    "ends_unfinished": _in_conversations(_ends_unfinished()),
    "refusal_phrase": _in_conversations(_refusal()),
    "template_leak": _template_leak(),
    "placeholder_input": _in_conversations(_prompt.str.contains(phrases.PLACEHOLDER)),
    "url_count": _links(_prompt) + _links(_answers),
    "task_type": formats.task_type(),
    "words_over_limit": promises.words_over_limit(),
    "missing_items": promises.missing_items(),
    "unclosed_code_fence": _in_conversations(_open_fence()),
    "knowledge_cutoff": _in_conversations(_found(phrases.CUTOFF, _about_itself())),
    "merged_instruction": _in_conversations(_merged_instruction()),
    "missing_text": _missing_text(),
    "prompt_url_count": _in_conversations(_links(_prompt)),
    "answer_format": formats.answer_format(),
    "asked_format": formats.asked_format(),
    "hedge_phrase": _in_conversations(_found(phrases.HEDGE)),
    "unhelpful_phrase": _in_conversations(_unhelpful()),
    "contradiction": promises.contradiction(),
    "mojibake_count": pl.col("whole").str.count_matches(phrases.MOJIBAKE).cast(pl.Int64),
}
