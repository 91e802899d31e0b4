"""Compares rows with evaluation items: some rows at a time, each as if it were alone, and at the end all together."""

from typing import NamedTuple

import polars as pl

from stages.decontaminate.eval_index import EvalIndex, build_index
from stages.decontaminate.eval_items import EvalSet
from stages.decontaminate.near_copies import NearIndex, build_near_index
from stages.decontaminate.overlaps import find_overlaps, max_template_rows, overlaps_in
from stages.decontaminate.readings import with_readings
from stages.decontaminate.rephrasings import (
    Wanted,
    find_rephrasings,
    likest_items,
    telling_items,
    wanted_in,
    weights_in,
    without,
)
from stages.decontaminate.stage import DecontaminateParams
from stages.decontaminate.summary import summarise
from stages.decontaminate.turns import questions
from stages.texts.conversation_text import answers_text, every_text, normalised


class Known(NamedTuple):
    """The items of all evaluation files, ready to be looked for."""

    items: EvalSet
    runs: EvalIndex
    near: NearIndex
    wanted: Wanted | None  # what is looked for in other words
    params: DecontaminateParams


class Compared(NamedTuple):
    """What some rows have in common with items."""

    rows: int
    overlaps: pl.DataFrame
    likest: pl.DataFrame


class Decided(NamedTuple):
    """Which rows contain an item, with the evidence, and the verdict on each evaluation file."""

    found: pl.DataFrame
    decontamination: pl.DataFrame


def know(items: EvalSet, kept: pl.LazyFrame, params: DecontaminateParams) -> Known:
    """What all of `kept` is compared with; which words are rare in it shows what they tell."""
    telling = telling_items(items.texts)
    weights = weights_in(kept, telling)
    runs = build_index(items.texts, params.ngram_words)
    near = build_near_index(runs.texts, weights, params.ngram_words)
    return Known(items, runs, near, wanted_in(telling, weights, params), params)


def compare(rows: pl.LazyFrame, known: Known) -> Compared:
    """What each row has in common with items; it depends on no other row."""
    texts = rows.select(
        "row_id", conversation=every_text(), questions=questions(), answers=normalised(answers_text())
    ).collect()
    read = with_readings(texts["conversation"])
    texts = texts.with_columns(read).with_columns(normalised(pl.col("conversation")))
    overlaps = overlaps_in(texts, known.runs, known.near, known.params.min_overlap)
    return Compared(texts.height, overlaps, likest_items(rows, known.wanted))


def decide(compared: list[Compared], kept: pl.LazyFrame, known: Known, clean_rows: pl.Series) -> Decided:
    """A row goes when an item's prompt stands in it word by word (eval_exact), when it has at least `min_overlap` of an
    item's runs of words or all of its words but one or two (eval_ngram), or when one of its turns says what an item says
    (eval_rephrased). Prompts of fewer than 5 words count only where they are a whole turn. What so many rows say that it
    is a phrase or a template of theirs counts in no way. `clean_rows` are the ids of rows known clean.
    """
    pairs, rows = pl.concat([some.overlaps for some in compared]), sum(some.rows for some in compared)
    overlaps = find_overlaps(pairs, rows, kept)
    likest = without(overlaps.too_common, pl.concat([some.likest for some in compared]), known.wanted)
    rephrased = find_rephrasings(likest, kept, known.wanted, clean_rows, known.params)
    rest = rephrased.found.join(overlaps.found, on="row_id", how="anti")
    is_template = pl.len().over("eval_file", "eval_item") > max_template_rows(rows)
    found = pl.concat([overlaps.found, rest.filter(~is_template)])
    places = pl.col("row_id", "eval_file")
    common = pl.concat([overlaps.too_common.select(places), rest.filter(is_template).select(places)]).unique()
    common = common.join(found, on="row_id", how="anti")
    wrongly = found.filter(pl.col("row_id").is_in(clean_rows.implode()))
    clean = (clean_rows.len(), wrongly)
    return Decided(found, summarise(known.items.files, found, common, rephrased.calibrations, clean))
