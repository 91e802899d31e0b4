"""Divides rows into those that are clean and those that contain evaluation items."""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from stages.decontaminate.eval_files import check_pins
from stages.decontaminate.eval_index import build_index
from stages.decontaminate.eval_items import read_eval_set
from stages.decontaminate.overlaps import find_overlaps
from stages.decontaminate.rephrasings import find_rephrasings
from stages.decontaminate.stage import DecontaminateParams
from stages.decontaminate.summary import summarise, told_of
from stages.decontaminate.turns import questions
from stages.errors import ConfigError
from stages.raw_files.source_files import SourceFile
from stages.schema import load_schema
from stages.texts.conversation_text import answers_text, every_text, normalised

ROWS_AT_ONCE = 16_384


class Decontaminated(NamedTuple):
    """Rows without evaluation items, rows with the item they contain and the evidence, the verdict on each file, in words."""

    clean: pl.LazyFrame
    contaminated: pl.LazyFrame
    decontamination: pl.DataFrame
    told: list[str]


def transform(
    kept: pl.LazyFrame, *, evals: list[SourceFile] | None = None, params: DecontaminateParams
) -> Decontaminated:
    """`kept` divided by what its conversations share with the items of `evals`; without evals every row is clean.

    A row goes when an item's prompt stands in it word by word (eval_exact), when it has at least `min_overlap` of an
    item's runs of words (eval_ngram), or when one of its turns says what an item says (eval_rephrased). Prompts of
    fewer than 5 words count only where they are a whole turn. Raises DataError for evaluation files that cannot be
    read in full or are not the pinned ones, ConfigError where `known_clean` names a source that is not there.
    """
    if evals is None:
        return Decontaminated(kept, _with_columns(kept.head(0)), load_schema("decontamination").empty(), [])
    check_pins(evals, params.pins)
    known = read_eval_set(evals)
    index = build_index(known.texts, params.ngram_words)
    overlaps = find_overlaps((_texts(part) for part in _parts(kept)), index, params.min_overlap)
    clean_rows = _known_clean(kept, params.known_clean)
    rephrased = find_rephrasings(kept, _parts(kept), known.texts, clean_rows, params)
    found = pl.concat([overlaps.found, rephrased.found.join(overlaps.found, on="row_id", how="anti")])
    wrongly = found.filter(pl.col("row_id").is_in(clean_rows.implode()))
    verdict = summarise(known.files, found, overlaps.too_common, rephrased.calibrations, (clean_rows.len(), wrongly))
    return Decontaminated(
        clean=kept.join(found.lazy(), on="row_id", how="anti", maintain_order="left"),
        contaminated=kept.join(found.lazy(), on="row_id", how="inner", maintain_order="left"),
        decontamination=verdict,
        told=told_of(verdict, params.max_false_positive_rate),
    )


def _with_columns(rows: pl.LazyFrame) -> pl.LazyFrame:
    missing = {n: t for n, t in load_schema("contaminated").dtypes.items() if n not in rows.collect_schema()}
    return rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in missing.items())


def _parts(kept: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
    """The rows, some at a time, so that not all texts need be in memory."""
    count = kept.select(pl.len()).collect().item()
    for first in range(0, count, ROWS_AT_ONCE):
        yield kept.slice(first, ROWS_AT_ONCE)


def _texts(kept: pl.LazyFrame) -> pl.DataFrame:
    """What `find_overlaps` reads of each row."""
    return kept.select(
        "row_id",
        conversation=normalised(every_text()),
        questions=questions(),
        answers=normalised(answers_text()),
    ).collect()


def _known_clean(kept: pl.LazyFrame, sources: list[str]) -> pl.Series:
    """The ids of the rows of these sources."""
    rows = kept.select("row_id", "source").collect()
    if unknown := sorted(set(sources) - set(rows["source"])):
        raise ConfigError(
            f"decontaminate: known_clean names {', '.join(unknown)}, and no row is from there; the sources are "
            f"{', '.join(sorted(set(rows['source']))) or 'none: there are no rows'}; correct the names in the profile"
        )
    return rows.filter(pl.col("source").is_in(sources))["row_id"]
