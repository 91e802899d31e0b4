"""The signals about words and phrases, as Polars expressions over the columns of `texts_of`, `cue_columns`, BEFORE and `word_count`, the words of `answers`.

Units and polarity stand in the names. A signal is null where it does not apply: a document has no prompt that could be
copied, and no speaker who could refuse.
"""

import polars as pl

from stages.score import formats, phrases, promises, refusals
from stages.score.cues import read_by
from stages.score.texts import first_group, first_of
from stages.texts.conversation_text import read_where

LAST_CHARS = 200  # of an answer, in which its end is told
ENOUGH_WORDS = 5  # below it an answer such as "working on" or "the" is a phrase that was asked for

_prompt, _answers, _ending = pl.col("prompt"), pl.col("answers"), pl.col("ending")


def _in_conversations(signal: pl.Expr) -> pl.Expr:
    """`signal`, null for documents."""
    return pl.when(~pl.col("is_document")).then(signal)


def _found(pattern: str, text: pl.Expr = _answers) -> pl.Expr:
    return text.str.extract(f"({pattern})", 1)


def _unless(asked: str, found: pl.Expr) -> pl.Expr:
    """What was found, null where the question has the pattern `asked`; only those few questions are read."""

    def unasked(rows: pl.Series) -> pl.Series:
        texts = rows.struct.unnest()
        places = texts["found"].is_not_null().arg_true()
        asking = texts["prompt"].gather(places).str.contains(asked)
        return texts["found"].clone().scatter(places.filter(asking), None)

    return pl.struct(found.alias("found"), _prompt).map_batches(unasked, return_dtype=pl.String)


def _template_leak() -> pl.Expr:
    """The first mark of a chat template in the answers that their prompts neither have nor ask about."""
    markup = _found(phrases.MARKUP, read_where("may_have_marks", _answers))
    label = pl.col("role_label")
    is_field = read_where(label.is_not_null(), _answers).str.contains(phrases.FIELD_BESIDE_LABEL)
    return pl.coalesce(
        _unless(rf"{phrases.MARKUP}|{phrases.ABOUT_TEMPLATES}", markup),
        _unless(phrases.ASKS_FOR_DIALOGUE, pl.when(~is_field).then(label)),
    )


def _merged_instruction() -> pl.Expr:
    expected = read_where("may_have_labels", _prompt).str.contains(phrases.EXPECTS_LABELS)
    read = read_where(pl.col("may_have_labels") & ~expected, _answers)
    return pl.coalesce(first_group(phrases.MERGED, read), _merged_question())


def _merged_question() -> pl.Expr:
    answers = read_by("merged_question", "answers")
    said = first_group(phrases.MERGED_QUESTION, answers)
    in_both = pl.concat_str(answers, read_where(answers != "", _prompt), separator="\n")
    return pl.when(~in_both.str.contains(phrases.ABOUT_QUESTIONS)).then(said)


def _missing_text() -> pl.Expr:
    single = pl.col("is_single") & ~_prompt.str.contains(" - ", literal=True)
    read = {name: read_where(single, read_by(f"missing_{name}", "prompt")) for name in ("text", "file", "image")}
    shown = first_group(phrases.MISSING_IMAGE, read["image"])
    foreign = single & pl.col("prompt_language").ne_missing(pl.lit("en"))
    return pl.coalesce(
        first_of(phrases.POINTED_AT, read_where(single, read_by("pointed_at", "prompt"))),
        first_group(phrases.MISSING_TEXT, read["text"]),
        first_group(phrases.FOLLOWING, read_where(foreign, read_by("following", "prompt"))),
        first_group(phrases.MISSING_FILE, read["file"]),
        pl.when(~read["image"].str.contains(phrases.ANY_IMAGE)).then(shown),
    )


def _unhelpful() -> pl.Expr:
    return _found(phrases.UNHELPFUL, read_by("unhelpful", "answers"))


def _open_fence() -> pl.Expr:
    return _ending.str.count_matches("```", literal=True) % 2 == 1


def _ends_unfinished() -> pl.Expr:
    last = pl.col("last_words")
    in_a_word = last.str.contains(r"\p{Latin}\s*\z") & (pl.col("word_count") >= ENOUGH_WORDS)
    unclosed = read_where(in_a_word, last)
    in_english = unclosed.str.contains(phrases.OPEN_WORD) & ~unclosed.str.contains(phrases.CLOSED_WORD)
    language = pl.col("response_language")
    in_others = [
        read_where(language == code, unclosed).str.contains(rf"(?i)\s(?:{words})\s*\z")
        for code, words in phrases.OPEN_WORDS_OF.items()
    ]
    open_word = (
        pl.when(language.is_in(list(phrases.OPEN_WORDS_OF))).then(pl.any_horizontal(in_others)).otherwise(in_english)
    )
    cut_short = read_where(pl.col("word_count") < ENOUGH_WORDS, last).str.contains(phrases.OPEN_PHRASE)
    open_end = last.str.contains(phrases.OPEN_END)
    read = read_where(open_end, last)
    is_form = read.str.count_matches(phrases.FIELD_TO_FILL) >= phrases.FIELDS_OF_A_FORM
    waits = read.str.contains(rf"{phrases.SIGN_OFF}|{phrases.WHOLE_ANSWER}") | is_form
    return (open_end & ~waits) | open_word | cut_short | _open_fence()


def _links(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(phrases.LINK).cast(pl.Int64)


# What SIGNALS look at several times, or before they read a text with a costly pattern; each group reads those above it.
BEFORE: tuple[dict[str, pl.Expr], ...] = (
    {
        "asks_for_code": formats.asks_for_code(),
        "has_code": formats.has_code(),
        "may_have_marks": _answers.str.contains_any(["#", "<", "["]) | (read_by("markup", "answers") != ""),
        "may_have_labels": read_by("merged", "answers").str.contains_any(
            phrases.MERGED_LABELS, ascii_case_insensitive=True
        ),
        "refused": refusals.refused(),
        "role_label": first_group(phrases.ROLE_LABEL, read_by("role_label", "answers")),
        "ended": formats.ended(),
        "last_words": _ending.str.tail(LAST_CHARS),
    },
    {"ended_lines": formats.ended_lines()},
    {"items": formats.items()},
)
SIGNALS: dict[str, pl.Expr] = {
    "prompt_chars": _in_conversations(_prompt.str.len_chars().cast(pl.Int64)),
    "response_chars": _answers.str.len_chars().cast(pl.Int64),
    "response_words": pl.col("word_count"),
    "ends_unfinished": _in_conversations(_ends_unfinished()),
    "refusal_phrase": _in_conversations(refusals.refusal_phrase()),
    "template_leak": _template_leak(),
    "placeholder_input": _in_conversations(_prompt.str.contains(phrases.PLACEHOLDER)),
    "url_count": _links(_prompt) + _links(_answers),
    "task_type": formats.task_type(),
    "words_over_limit": promises.words_over_limit(),
    "missing_items": promises.missing_items(),
    "unclosed_code_fence": _in_conversations(_open_fence()),
    "knowledge_cutoff": _in_conversations(
        _unless("(?i)cut-?off", _found(refusals.CUTOFF, read_by("cutoff", "answers")))
    ),
    "merged_instruction": _in_conversations(_merged_instruction()),
    "missing_text": _missing_text(),
    "prompt_url_count": _in_conversations(_links(_prompt)),
    "answer_format": formats.answer_format(),
    "asked_format": formats.asked_format(),
    "hedge_phrase": _in_conversations(_unless(phrases.ASKS_FOR_DOUBT, _found(phrases.HEDGE))),
    "unhelpful_phrase": _in_conversations(_unhelpful()),
    "contradiction": promises.contradiction(),
    "mojibake_count": pl.col("whole").str.count_matches(phrases.MOJIBAKE).cast(pl.Int64),
}
