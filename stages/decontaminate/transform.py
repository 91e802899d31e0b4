"""Divides rows into those that are clean and those that contain evaluation items."""

from typing import NamedTuple

import polars as pl

from stages.conversation_text import conversation_text, normalised, opening_text
from stages.decontaminate.eval_index import build_index
from stages.decontaminate.eval_items import read_eval_texts
from stages.decontaminate.overlaps import FOUND, find_overlaps
from stages.decontaminate.stage import DecontaminateParams
from stages.source_files import SourceFile


class Decontaminated(NamedTuple):
    """Rows without evaluation items, and rows with the item they contain and the shared words."""

    clean: pl.LazyFrame
    contaminated: pl.LazyFrame


def transform(
    kept: pl.LazyFrame, *, evals: list[SourceFile] | None = None, params: DecontaminateParams
) -> Decontaminated:
    """`kept` divided by what its conversations share with the items of `evals`; without evals every row is clean.

    A row goes when an item's prompt stands in it word by word (eval_exact), or when it has at least `min_overlap` of
    an item's runs of words (eval_ngram). Prompts of fewer than 8 words count only where they are a whole first turn.
    Raises DataError for evaluation files that cannot be read in full.
    """
    found = pl.DataFrame(schema=FOUND) if evals is None else _find(kept, evals, params)
    return Decontaminated(
        clean=kept.join(found.lazy(), on="row_id", how="anti"),
        contaminated=kept.join(found.lazy(), on="row_id", how="inner"),
    )


def _find(kept: pl.LazyFrame, evals: list[SourceFile], params: DecontaminateParams) -> pl.DataFrame:
    index = build_index(read_eval_texts(evals), params.ngram_words)
    conversation, opening = normalised(conversation_text()), normalised(opening_text())
    rows = kept.select("row_id", conversation=conversation, opening=opening).collect()
    return find_overlaps(rows, index, params.min_overlap)
