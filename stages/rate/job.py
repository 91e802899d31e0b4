"""Puts the ratings of models beside each row; the rows themselves pass through as they are."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from stages.contract import Workbench
from stages.measures.selector_honesty import Honesty, facts_of, honesty_of_score
from stages.rate.lengths import length_rank
from stages.rate.stage import RateParams
from stages.schema import load_schema
from stages.store.storage import setting

# Modules that load torch or the tokenizers are imported where they are used: rows that only pass through need neither.

Rater = Callable[[pl.DataFrame], pl.DataFrame]  # rows -> row_id, answer_chars and ratings
Facts = Callable[[], Mapping[str, Any]]
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
    facts: Facts


def run(
    scored: Path, *, base: Path | None = None, rated: Path, params: RateParams, workbench: Workbench
) -> dict[str, Any]:
    """Writes the rows of `scored` with a column per rating; returns what was rated, why not, and how it goes by length."""
    parts = sorted(scored.glob("part-*.parquet"))
    with asked_models(base, params, workbench) as asked:
        ratings = [_rate(pl.read_parquet(part, glob=False), asked.raters) for part in parts] if asked.raters else []
        facts = dict(asked.facts())
    ranked = _with_ranks(pl.concat(ratings), params) if ratings else None
    rows = sum(_write(part, ranked, rated / part.name) for part in parts)
    workbench.progress(rows, rows, "rows")
    if ranked is None:
        return facts
    found = _honesty(ranked)
    told = [f"{model}: {_told(counts)}" for model, counts in facts.items()]
    told += [honesty.told(name) for name, honesty in found.items()]
    return facts | {"selectors": facts_of(found), "told": told}


@contextmanager
def asked_models(base: Path | None, params: RateParams, workbench: Workbench) -> Iterator[Asked]:
    """What `params` turns on, ready to be asked; every answer is kept from now on."""
    with ExitStack() as opened:
        raters: list[Rater] = []
        facts: dict[str, Facts] = {}
        if base is not None and params.asks_base:
            asked, facts["base"] = _base_raters(base, params, workbench, opened)
            raters += asked
        if params.judge_model:
            rater, facts["judge"] = _judge_rater(params, workbench, opened)
            raters.append(rater)
        yield Asked(raters, lambda: {name: dict(told()) for name, told in facts.items()})


def _base_raters(base: Path, params: RateParams, workbench: Workbench, opened: ExitStack) -> tuple[list[Rater], Facts]:
    from stages.modelling.models import repeatable
    from stages.rate.by_base import rate_by_base
    from stages.rate.by_embedding import embed_by_base
    from stages.rate.kept_answers import open_kept
    from stages.rate.surprise import BaseReader

    unrated: Counter[str] = Counter()
    opened.enter_context(repeatable(params.cpu_threads))
    kept = opened.enter_context(open_kept(workbench.cache / "losses.sqlite"))
    reader = BaseReader(base, params, workbench, kept)
    raters: list[Rater] = [partial(rate_by_base, reader=reader, unrated=unrated)] if params.perplexity else []
    raters += [partial(embed_by_base, reader=reader)] if params.embed else []
    return raters, lambda: {
        "texts_read": reader.pairs_read,
        "texts_found_in_cache": reader.pairs_found,
        "unrated": dict(sorted((+unrated).items())),
    }


def _judge_rater(params: RateParams, workbench: Workbench, opened: ExitStack) -> tuple[Rater, Facts]:
    from stages.rate.by_judge import Judge
    from stages.rate.chat_endpoint import Budget, ChatEndpoint
    from stages.rate.kept_answers import open_kept

    folder = Path(params.judge_replies) if params.judge_replies else workbench.cache
    kept = opened.enter_context(open_kept(folder / "replies.sqlite"))
    budget = Budget(params.judge_max_requests, params.judge_max_tokens)
    judge = Judge(params, ChatEndpoint(params, setting("JUDGE_API_KEY", "").strip(), budget), kept, workbench)
    return judge.rate, judge.finish


def _rate(rows: pl.DataFrame, raters: Sequence[Rater]) -> pl.DataFrame:
    """All ratings of the rows; every rater gives its own in the order of the rows."""
    first, *others = (rater(rows) for rater in raters)
    return pl.concat([first, *(ratings.drop("row_id", "answer_chars") for ratings in others)], how="horizontal")


def _with_ranks(ratings: pl.DataFrame, params: RateParams) -> pl.DataFrame:
    """The second pass: what a rating is worth among all answers of about the same length."""
    if "perplexity" not in ratings.columns:
        return ratings
    return ratings.with_columns(
        length_rank(name, "answer_tokens", params.length_bins, ratings[name].count()).alias(f"{name}_length_rank")
        for name in ("perplexity", "ifd")
    )


def _told(counts: Mapping[str, Any]) -> str:
    """Counts for people; what was not rated stands with its reasons."""
    flat = {name: count for name, count in counts.items() if not isinstance(count, Mapping)}
    flat |= {
        f"not rated, {reason}": n for part in counts.values() if isinstance(part, Mapping) for reason, n in part.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in flat.items())


def _honesty(ratings: pl.DataFrame) -> dict[str, Honesty]:
    return {
        name: honesty_of_score(ratings, name, "answer_chars", highest=highest)
        for name, highest in SELECTORS.items()
        if name in ratings.columns
    }


def _write(part: Path, ratings: pl.DataFrame | None, target: Path) -> int:
    schema, rows = load_schema("rated"), pl.read_parquet(part, glob=False)
    if ratings is not None:
        rows = rows.join(ratings.drop("answer_chars"), on="row_id", how="left", maintain_order="left")
    missing = [column for column in schema.columns if column.name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=column.dtype).alias(column.name) for column in missing)
    rows.select(*schema.dtypes).write_parquet(target, compression="lz4")
    return rows.height
