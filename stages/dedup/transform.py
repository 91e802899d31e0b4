"""Divides conversations into those that stay and those that repeat one that stays."""

from typing import NamedTuple

import polars as pl

from stages.dedup.corpus import Corpus, Rows, corpus_of
from stages.dedup.decisions import STAYS, Decisions, decide
from stages.dedup.shingle_chunks import Chunk, ShingleChunks
from stages.dedup.sketches import sketch
from stages.dedup.stage import DedupParams


class Verdicts(NamedTuple):
    """What dedup decided: rows that stay, and rows that go."""

    stay: pl.DataFrame  # row_id, group_id, answers_to_question
    go: pl.DataFrame  # row_id, survivor_id, similarity, reason, matched_key


def transform(conversations: pl.DataFrame, *, params: DedupParams) -> Verdicts:
    """The verdict on every row, for conversations that fit in memory. See `job` for those that do not.

    Of rows that repeat each other the one from the preferred source stays, then the one with fewer repairs, with the
    longest answer, with the lowest row_id. Each row that goes was compared with a row that stays and is at least
    `min_similarity` like it, or with `keep_best` answers the same question.
    """
    sketches = sketch(conversations, params)
    shingles = ShingleChunks([Chunk(sketches.shingles.counts, sketches.shingles.hashes)])
    fields = (sketches.text, sketches.opening, sketches.question)
    rows = light_rows(conversations)
    places = rows.row_id.to_frame().select(pl.int_range(pl.len())).to_series().to_numpy()
    corpus = corpus_of(rows, places, fields, sketches.answer_bytes, shingles, params)
    return verdicts(corpus, decide(corpus, params), params)


def light_rows(conversations: pl.DataFrame) -> Rows:
    """What the corpus takes from the table itself."""
    repairs = conversations["repairs"].list.len().fill_null(0).cast(pl.Int64)
    return Rows(conversations["row_id"], conversations["source"], repairs)


def verdicts(corpus: Corpus, decisions: Decisions, params: DedupParams) -> Verdicts:
    """The decisions as tables, in no particular order."""
    rows = pl.DataFrame(
        {
            "row_id": corpus.row_id,
            "survivor": decisions.survivor,
            "group_id": corpus.row_id.gather(decisions.group),
            "answers_to_question": decisions.answers.astype("int32"),
            "similarity": decisions.similarity,
            "is_copy": decisions.is_copy,
            "is_conflict": decisions.is_conflict,
        }
    )
    reason = pl.when("is_copy").then(pl.lit("exact_duplicate")).when("is_conflict").then(pl.lit("conflicting_answer"))
    go = rows.filter(pl.col("survivor") != STAYS)
    return Verdicts(
        stay=rows.filter(pl.col("survivor") == STAYS).select("row_id", "group_id", "answers_to_question"),
        go=go.select(
            "row_id",
            pl.Series("survivor_id", corpus.row_id.gather(go["survivor"])),
            "similarity",
            reason=reason.otherwise(pl.lit("near_duplicate")),
            matched_key=pl.when("is_conflict").then(pl.lit("prompt")).otherwise(pl.lit(params.key)),
        ),
    )
