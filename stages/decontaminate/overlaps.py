"""Finds which rows contain evaluation texts, and the words they share."""

import polars as pl

from stages.conversation_text import words
from stages.decontaminate.eval_index import EvalIndex, RunsOfLength
from stages.decontaminate.eval_items import LABEL
from stages.word_runs import Runs, run_hashes, word_hashes

ROWS_AT_ONCE = 32_768  # bounds the memory that words take
PAIRS: dict[str, type[pl.DataType]] = {
    "row": pl.Int64,
    "text": pl.UInt32,
    "overlap": pl.Float64,
    "first": pl.Int64,
    "shared_words": pl.Int64,
}
FOUND: dict[str, type[pl.DataType]] = {
    "row_id": pl.String,
    "reason": pl.String,
    "eval_file": pl.String,
    "eval_item": pl.Int64,
    "evidence": pl.String,
    "overlap": pl.Float64,
}


def find_overlaps(rows: pl.DataFrame, index: EvalIndex, min_overlap: float) -> pl.DataFrame:
    """For each row that contains an evaluation text, the one of which it contains most.

    `rows` has row_id, conversation and opening, both normalised. The result has row_id, reason, eval_file, eval_item,
    evidence (the first run of shared words) and overlap (the share of the item's runs of words, 0-1).
    """
    parts = [_overlapping(part, index, min_overlap) for part in rows.iter_slices(ROWS_AT_ONCE)]
    found = pl.concat([_equal_openings(rows, index), *parts]).join(index.texts, on="text")
    best_first = found.sort("row_id", -pl.col("overlap"), pl.col("role") == "answer", "text")
    best = best_first.unique("row_id", keep="first", maintain_order=True)
    phrase = pl.concat_str(pl.lit(" "), "phrase", pl.lit(" "))
    row_phrase = pl.concat_str(pl.lit(" "), words(pl.col("conversation")).list.join(" "), pl.lit(" "))
    is_whole = (pl.col("role") != "answer") & row_phrase.str.contains(phrase, literal=True)
    return best.select(
        row_id="row_id",
        reason=pl.when(is_whole).then(pl.lit("eval_exact")).otherwise(pl.lit("eval_ngram")),
        eval_file="file",
        eval_item="item",
        evidence=pl.col("words").list.slice("first", "shared_words").list.join(" "),
        overlap="overlap",
    )


def _equal_openings(rows: pl.DataFrame, index: EvalIndex) -> pl.DataFrame:
    """Rows whose first turn is, word by word, one of the prompts that are too short to be looked for inside texts."""
    question = pl.col("opening").str.replace_all(LABEL, "")
    openings = rows.with_columns(phrase=words(question).list.join(" "))
    return openings.join(index.short, on="phrase").select(
        "row_id",
        "conversation",
        "text",
        overlap=pl.lit(1.0),
        first=pl.lit(0, pl.Int64),
        shared_words=pl.col("words").list.len().cast(pl.Int64),
    )


def _overlapping(rows: pl.DataFrame, index: EvalIndex, min_overlap: float) -> pl.DataFrame:
    """The rows and texts that share enough: row_id, conversation, and PAIRS but the row's number."""
    row_words = word_hashes(rows["conversation"])
    pairs = pl.concat([pl.DataFrame(schema=PAIRS), *(_shared(row_words, runs) for runs in index.lengths)])
    enough = pairs.filter(pl.col("overlap") >= min_overlap)
    numbered = rows.select("row_id", "conversation", row=pl.int_range(pl.len()))
    return enough.join(numbered, on="row").select("row_id", "conversation", *list(PAIRS)[1:])


def _shared(row_words: Runs, of_length: RunsOfLength) -> pl.DataFrame:
    """Which texts share runs of this length with which rows: the columns PAIRS."""
    row_runs = run_hashes(row_words, of_length.length)
    likely = of_length.may_hold(row_runs.hashes)
    found = pl.DataFrame({"run": row_runs.hashes[likely], "row": row_runs.owners[likely]}).unique()
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
