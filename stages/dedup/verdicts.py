"""Tells what was decided as tables: rows that stay, and rows that go with the row each goes for."""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.dedup.corpus import Corpus, Rows
from stages.dedup.decisions import STAYS, Decisions
from stages.dedup.stage import DedupParams


class Verdicts(NamedTuple):
    """What dedup decided: rows that stay, and rows that go."""

    stay: pl.DataFrame  # row_id, group_id, answers_to_question
    go: pl.DataFrame  # row_id, survivor_id, similarity, reason, matched_key


def light_rows(conversations: pl.DataFrame) -> Rows:
    """What the corpus takes from the table itself."""
    repairs = conversations["repairs"].list.len().fill_null(0).cast(pl.Int64)
    return Rows(conversations["row_id"], conversations["source"], repairs)


def verdicts(corpus: Corpus, decisions: Decisions, params: DedupParams) -> Verdicts:
    """The decisions as tables, in the order of the table that the corpus was made of."""
    at = np.empty(corpus.rows, dtype=np.int64)
    at[corpus.place] = np.arange(corpus.rows)
    rows = pl.DataFrame(
        {
            "row_id": corpus.row_ids,
            "survivor": np.where(decisions.survivor == STAYS, STAYS, corpus.place[decisions.survivor])[at],
            "group_id": corpus.row_ids.gather(corpus.place[decisions.group[at]]),
            "answers_to_question": decisions.answers[at].astype("int32"),
            "similarity": decisions.similarity[at],
            "is_copy": decisions.is_copy[at],
            "is_conflict": decisions.is_conflict[at],
            "is_long": corpus.is_long[at],
        }
    )
    whole = pl.lit("conversation" if params.key == "turns" else params.key)
    by_turns = pl.when("is_long").then(pl.lit("turns")).otherwise(whole)
    reason = pl.when("is_copy").then(pl.lit("exact_duplicate")).when("is_conflict").then(pl.lit("conflicting_answer"))
    go = rows.filter(pl.col("survivor") != STAYS)
    return Verdicts(
        stay=rows.filter(pl.col("survivor") == STAYS).select("row_id", "group_id", "answers_to_question"),
        go=go.select(
            "row_id",
            pl.Series("survivor_id", corpus.row_ids.gather(go["survivor"])),
            "similarity",
            reason=reason.otherwise(pl.lit("near_duplicate")),
            matched_key=pl.when("is_conflict").then(pl.lit("prompt")).otherwise(by_turns),
        ),
    )
