"""Puts the ratings of models beside each row; the rows themselves pass through as they are."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from stages.contract import Workbench
from stages.rate.lengths import length_rank
from stages.rate.stage import RateParams
from stages.schema import load_schema
from stages.selector_honesty import Honesty, facts_of, honesty_of_score

# Modules that load torch or the tokenizers are imported where they are used: rows that only pass through need neither.

Rater = Callable[[pl.DataFrame], pl.DataFrame]  # rows -> row_id, answer_chars and ratings
# Rating -> whether a person who selects by it takes the highest.
SELECTORS = {
    "perplexity": False,
    "ifd": True,
    "perplexity_length_rank": False,
    "ifd_length_rank": True,
    "judge_score": True,
}


class Asked(NamedTuple):
    """The models that a run asks, and what they leave to tell."""

    raters: Sequence[Rater]
    facts: Callable[[], Mapping[str, Any]]


def run(
    scored: Path, *, base: Path | None = None, rated: Path, params: RateParams, workbench: Workbench
) -> dict[str, Any]:
    """Writes the rows of `scored` with a column per rating; returns what was rated, why not, and how it goes by length."""
    parts = sorted(scored.glob("part-*.parquet"))
    with asked_models(base, params, workbench) as asked:
        ratings = [_rate(pl.read_parquet(part), asked.raters) for part in parts] if asked.raters else []
        facts = dict(asked.facts())
    ranked = _with_ranks(pl.concat(ratings), params) if ratings else None
    rows = sum(_write(part, ranked, rated / part.name) for part in parts)
    workbench.progress(rows, rows, "rows")
    if ranked is None:
        return facts
    found = _honesty(ranked)
    told = [honesty.told(name) for name, honesty in found.items()]
    return facts | {"selectors": facts_of(found), "told": told}


@contextmanager
def asked_models(base: Path | None, params: RateParams, workbench: Workbench) -> Iterator[Asked]:
    """What `params` turns on; answers are kept in the workbench's cache from now on."""
    if base is None or not params.perplexity:
        yield Asked((), dict)
        return
    from stages.models import repeatable
    from stages.rate.by_base import rate_by_base
    from stages.rate.kept_answers import open_kept
    from stages.rate.surprise import BaseReader

    unrated: Counter[str] = Counter()
    with open_kept(workbench.cache / "losses.sqlite") as kept, repeatable(params.cpu_threads):
        reader = BaseReader(base, params, workbench, kept)
        yield Asked(
            (partial(rate_by_base, reader=reader, unrated=unrated),),
            lambda: {
                "texts_read": reader.pairs_read,
                "texts_found_in_cache": reader.pairs_found,
                "unrated": dict(+unrated),
            },
        )


def _rate(rows: pl.DataFrame, raters: Sequence[Rater]) -> pl.DataFrame:
    return pl.concat([rater(rows) for rater in raters], how="align_left")


def _with_ranks(ratings: pl.DataFrame, params: RateParams) -> pl.DataFrame:
    """The second pass: what a rating is worth among all answers of about the same length."""
    if "perplexity" not in ratings.columns:
        return ratings
    return ratings.with_columns(
        length_rank(name, "answer_tokens", params.length_bins, ratings[name].count()).alias(f"{name}_length_rank")
        for name in ("perplexity", "ifd")
    )


def _honesty(ratings: pl.DataFrame) -> dict[str, Honesty]:
    return {
        name: honesty_of_score(ratings, name, "answer_chars", highest=highest)
        for name, highest in SELECTORS.items()
        if name in ratings.columns
    }


def _write(part: Path, ratings: pl.DataFrame | None, target: Path) -> int:
    schema, rows = load_schema("rated"), pl.read_parquet(part)
    if ratings is not None:
        rows = rows.join(ratings.drop("answer_chars"), on="row_id", how="left", maintain_order="left")
    missing = [column for column in schema.columns if column.name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=column.dtype).alias(column.name) for column in missing)
    rows.select(*schema.dtypes).write_parquet(target, compression="lz4")
    return rows.height
