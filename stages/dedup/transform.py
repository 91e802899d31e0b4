"""Divides conversations into those that stay and those that repeat one that stays."""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.conversation_text import conversation_text, normalised, opening_text, prompt_text, response_text
from stages.dedup.groups import connected
from stages.dedup.near_duplicates import find_near_duplicates
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Matches
from stages.word_runs import Ints


class Deduplicated(NamedTuple):
    """What stays, and what goes with the row that it repeats."""

    unique: pl.LazyFrame
    duplicates: pl.LazyFrame


def transform(conversations: pl.LazyFrame, *, params: DedupParams) -> Deduplicated:
    """`unique` with a `group_id`, and `duplicates` with survivor, similarity and reason.

    Of rows that repeat each other the one with the longest answer stays, then the one with the lowest row_id. Each
    row that goes was compared with a row that stays and is at least `min_similarity` like it.
    """
    rows = _ranked(conversations, params)
    texts = rows.filter(pl.col("text").is_not_null() & (pl.col("rank") == pl.col("same_text_as")))
    distinct = texts["rank"].to_numpy().astype(np.int64)
    matches = find_near_duplicates(texts["text"], texts["source"], params)
    decisions = _decisions(rows.drop("text"), distinct, matches)
    groups = _groups(decisions.filter(pl.col("survivor_id").is_null()), distinct, matches)
    gone = decisions.filter(pl.col("survivor_id").is_not_null()).select(
        "row_id", "survivor_id", "similarity", "reason", matched_key=pl.lit(params.key)
    )
    return Deduplicated(
        unique=conversations.join(groups.lazy(), on="row_id", how="inner"),
        duplicates=conversations.join(gone.lazy(), on="row_id", how="inner"),
    )


def _ranked(conversations: pl.LazyFrame, params: DedupParams) -> pl.DataFrame:
    """Rows from the best down: row_id, source, text, opening, rank, and the rank of the best row of equal text.

    A row without text or opening shares it with none, so both are null there.
    """
    key = {"prompt": prompt_text(), "response": response_text(reasoning=True), "conversation": conversation_text()}
    texts = conversations.select(
        "row_id",
        "source",
        text=normalised(key[params.key]).replace("", None),
        opening=normalised(opening_text()).replace("", None),
        answer_chars=response_text().str.strip_chars().str.len_chars(),
    )
    best_first = texts.sort("answer_chars", "row_id", descending=[True, False]).with_row_index("rank")
    first = pl.when(pl.col("text").is_not_null()).then(pl.col("rank").min().over("text")).otherwise("rank")
    return best_first.with_columns(same_text_as=first).drop("answer_chars").collect()


def _decisions(rows: pl.DataFrame, distinct: Ints, matches: Matches) -> pl.DataFrame:
    """`rows` with survivor_id, similarity and reason, all null for a row that stays.

    A copy of a row that goes is itself as like the survivor as that row is, so it goes for the same reason.
    """
    near = pl.DataFrame(
        {
            "same_text_as": distinct[matches.removed],
            "survivor": distinct[matches.survivor],
            "likeness": matches.similarity,
        }
    )
    ids = rows.select(survivor="rank", survivor_id="row_id")
    is_copy = pl.col("rank") != pl.col("same_text_as")
    is_near = pl.col("likeness").is_not_null()
    return (
        rows.join(near, on="same_text_as", how="left", maintain_order="left")
        .with_columns(
            survivor=pl.coalesce("survivor", pl.when(is_copy).then("same_text_as")),
            similarity=pl.coalesce("likeness", pl.when(is_copy).then(1.0)),
            reason=pl.when(is_near).then(pl.lit("near_duplicate")).when(is_copy).then(pl.lit("exact_duplicate")),
        )
        .join(ids, on="survivor", how="left", maintain_order="left")
    )


def _groups(kept: pl.DataFrame, distinct: Ints, matches: Matches) -> pl.DataFrame:
    """row_id and group_id of the rows that stay: rows that are alike or open alike belong together."""
    kept = kept.sort("row_id").with_row_index("place")
    opens_like = pl.when(pl.col("opening").is_not_null()).then(pl.col("place").min().over("opening")).otherwise("place")
    place = np.zeros(int(kept["rank"].max() or 0) + 1, dtype=np.int64)  # type: ignore[arg-type]
    place[kept["rank"].to_numpy()] = kept["place"].to_numpy()
    left = np.concatenate([place[distinct[matches.left]], kept["place"].to_numpy()])
    right = np.concatenate([place[distinct[matches.right]], kept.select(opens_like).to_series().to_numpy()])
    lowest = connected(kept.height, left, right)
    return kept.select("row_id", group_id=kept["row_id"].gather(lowest))
