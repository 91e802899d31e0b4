"""Finds which rows contain evaluation texts, and the words they share."""

from typing import NamedTuple

import polars as pl

from stages.decontaminate.eval_index import PAIRS, SHORT_WORDS, TURN_WORDS, EvalIndex, RunsOfLength
from stages.decontaminate.eval_items import LABEL
from stages.decontaminate.near_copies import NearIndex, near_copies
from stages.decontaminate.rarity import rarest_word_shares
from stages.texts.conversation_text import words
from stages.texts.word_bytes import Ints
from stages.texts.word_runs import Runs, ranges, run_hashes, run_hashes_at, starts_of, word_hashes

MOST_ROWS = 5  # at least so many rows, and at least one in a thousand, may hold a text that is no everyday phrase
MOST_SHARE = 0.02  # of the rows, that may hold a text of which a word is hardly in others
HOLDING_SHARE = 0.5  # of the rows with that word, that hold the text
LONG_WORDS = 20  # a text of so many words is no phrase, but may be what all rows are begun with: a template
MOST_LONG_ROWS, MOST_LONG_SHARE = 50, 0.1  # rows, and share of them, that may hold a long text which is no template
FOUND: dict[str, type[pl.DataType]] = {
    "row_id": pl.String,
    "reason": pl.String,
    "eval_file": pl.String,
    "eval_item": pl.Int64,
    "evidence": pl.String,
    "overlap": pl.Float64,
}


class Overlaps(NamedTuple):
    """Rows that contain evaluation texts, and those whose match proves nothing."""

    found: pl.DataFrame  # the columns FOUND
    too_common: pl.DataFrame  # row_id, eval_file, eval_item, is_whole


def overlaps_in(rows: pl.DataFrame, index: EvalIndex, near: NearIndex, min_overlap: float) -> pl.DataFrame:
    """Every evaluation text that some rows contain, whole or in part, with the row and what is known of the pair.

    `rows` have row_id, conversation, questions (a list) and answers, all normalised.
    """
    found = pl.concat([_equal_questions(rows, index), _overlapping(rows, index, near, min_overlap)])
    return _in_words(found.join(index.texts, on="text"), rows)


def find_overlaps(pairs: pl.DataFrame, rows: int, kept: pl.LazyFrame) -> Overlaps:
    """For each row that contains an evaluation text, the one of which it contains most; `pairs` of all `rows` together.

    `found` has row_id, reason, eval_file, eval_item, evidence (the first run of shared words) and overlap (the share of
    the item's runs of words, 0-1). What so many rows share that it is an everyday phrase is `too_common`, unless the
    item's answer follows. `kept` are the rows themselves.
    """
    judged = _judged(pairs, rows, kept)
    best_first = judged.filter("proves").sort("row_id", -pl.col("overlap"), pl.col("role") == "answer", "text")
    best = best_first.unique("row_id", keep="first", maintain_order=True)
    found = best.select(
        row_id="row_id",
        reason=pl.when("is_whole").then(pl.lit("eval_exact")).otherwise(pl.lit("eval_ngram")),
        eval_file="file",
        eval_item="item",
        evidence=pl.col("words").list.slice("first", "shared_words").list.join(" "),
        overlap="overlap",
    )
    common = judged.filter(~pl.col("proves")).join(found, on="row_id", how="anti")
    return Overlaps(found, common.select("row_id", "is_whole", eval_file="file", eval_item="item").unique())


def max_common_rows(rows: int) -> int:
    """How many rows may hold a text that is no everyday phrase of these rows."""
    return max(MOST_ROWS, rows // 1000)


def max_template_rows(rows: int) -> float:
    """How many rows may hold a long text that is no template of these rows."""
    return max(MOST_LONG_ROWS, rows * MOST_LONG_SHARE)


def _in_words(pairs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`pairs` with is_whole, is_question (a whole turn of the user) and has_answer (of the item, in the row's answers)."""
    spaced = {name: pl.concat_str(pl.lit(" "), name, pl.lit(" ")) for name in ("phrase", "answer")}
    chosen = rows.filter(pl.col("row_id").is_in(pairs["row_id"].unique().implode()))
    said = chosen.select(
        "row_id",
        row_phrase=pl.concat_str(pl.lit(" "), words(pl.col("conversation")).list.join(" "), pl.lit(" ")),
        row_answers=pl.concat_str(pl.lit(" "), words(pl.col("answers")).list.join(" "), pl.lit(" ")),
        row_questions=pl.col("questions").list.eval(_question_words()),
    )
    return (
        pairs.join(said, on="row_id")
        .with_columns(
            is_whole=(pl.col("role") != "answer") & pl.col("row_phrase").str.contains(spaced["phrase"], literal=True),
            is_question=pl.col("row_questions").list.contains(pl.col("phrase")),
            has_answer=pl.col("row_answers").str.contains(spaced["answer"], literal=True).fill_null(value=False),
        )
        .drop("row_phrase", "row_answers", "row_questions")
    )


def _judged(pairs: pl.DataFrame, rows: int, kept: pl.LazyFrame) -> pl.DataFrame:
    """`pairs` with `proves`: whether the match shows more than that the row says what many rows say."""
    length, holders = pl.col("words").list.len(), pl.col("row_id").n_unique().over("text", "is_whole")
    few, some = max_common_rows(rows), rows * MOST_SHARE
    in_doubt = pairs.filter((holders > few) & (holders <= some)).unique("text", maintain_order=True)
    pairs = pairs.join(rarest_word_shares(in_doubt, kept), on="text", how="left", maintain_order="left")
    is_rare = (holders <= few) | ((holders <= some) & (holders >= HOLDING_SHARE * rows * pl.col("rarest_share")))
    no_template = holders <= max_template_rows(rows)
    is_long = (length >= LONG_WORDS) & no_template
    is_asked = (length >= TURN_WORDS) & pl.col("is_question") & (no_template | pl.col("answer").is_not_null())
    is_long_and_whole = pl.col("is_whole") & (is_long | is_asked)
    proves = is_rare.fill_null(value=False) | is_long_and_whole | pl.col("has_answer")
    return pairs.with_columns(proves=proves)


def _question_words() -> pl.Expr:
    return words(pl.element().str.replace_all(LABEL, "")).list.join(" ")


def _equal_questions(rows: pl.DataFrame, index: EvalIndex) -> pl.DataFrame:
    """Rows with a user turn that is, word by word, one of the prompts too short to be looked for inside texts."""
    asked = rows.select("row_id", question="questions").explode("question", empty_as_null=False).unique()
    question = pl.col("question").str.replace_all(LABEL, "")
    return (
        asked.with_columns(phrase=words(question).list.join(" "))
        .join(index.short, on="phrase")
        .unique(["row_id", "text"])
        .select(
            "row_id",
            "text",
            overlap=pl.lit(1.0),
            first=pl.lit(0, pl.Int64),
            shared_words=pl.col("words").list.len().cast(pl.Int64),
        )
    )


def _overlapping(rows: pl.DataFrame, index: EvalIndex, near: NearIndex, min_overlap: float) -> pl.DataFrame:
    """The rows and texts that share enough: row_id, and PAIRS but the row's number."""
    row_words = word_hashes(rows["conversation"])
    begins = _beginnings(row_words, index)
    in_runs = (_shared(row_words, runs, begins) for runs in index.lengths)
    pairs = pl.concat([pl.DataFrame(schema=PAIRS), *in_runs, near_copies(row_words, near)])
    most_first = pairs.filter(pl.col("overlap") >= min_overlap).sort(
        "row", "text", -pl.col("overlap"), maintain_order=True
    )
    enough = most_first.unique(["row", "text"], keep="first", maintain_order=True)
    numbered = rows.select("row_id", row=pl.int_range(pl.len()))
    return enough.join(numbered, on="row").select("row_id", *list(PAIRS)[1:])


def _beginnings(row_words: Runs, index: EvalIndex) -> Ints:
    """At which words of the rows a text that is one run may begin."""
    runs = run_hashes(row_words, SHORT_WORDS)
    return ranges(starts_of(row_words.counts), runs.counts)[index.beginnings.passed(runs.hashes)]


def _shared(row_words: Runs, of_length: RunsOfLength, begins: Ints) -> pl.DataFrame:
    """Which texts share runs of this length with which rows: the columns PAIRS."""
    if of_length.sieve:
        every = run_hashes(row_words, of_length.length)
        likely = of_length.sieve.passed(every.hashes)
        hashes, owners = every.hashes[likely], every.owners[likely]
    else:
        hashes, owners = run_hashes_at(row_words, of_length.length, begins)
    found = pl.DataFrame({"run": hashes, "row": owners}).unique()
    position = pl.col("position").sort()
    leading = (position - pl.int_range(pl.len()) == position.first()).sum()  # runs that follow one another at the start
    return (
        found.join(of_length.runs, on="run")
        .group_by("row", "text")
        .agg(
            overlap=pl.len() / pl.col("runs").first(),
            first=position.first(),
            shared_words=leading.cast(pl.Int64) + (of_length.length - 1),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in PAIRS.items())
    )
