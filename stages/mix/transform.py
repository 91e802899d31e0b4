"""Chooses the rows of the mixture, their split and how often they are seen."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from stages.contract import Progress
from stages.errors import ConfigError
from stages.measures.selector_honesty import Honesty, honesty_of_choice, honesty_of_score
from stages.mix.draws import draws
from stages.mix.groups import check_no_leak, prompts_of, with_groups
from stages.mix.replay import replay
from stages.mix.selection import Parts, quality_of, select_rows
from stages.mix.shares import check_names, requested_shares, share_out, sizes_of, to_select
from stages.mix.shortfalls import shortfalls
from stages.mix.splits import split_groups
from stages.mix.stage import MixParams
from stages.mix.summary import summarise
from stages.mix.vectors import model_vectors, text_vectors
from stages.texts.conversation_text import conversation_text, later_questions, normalised, opening_text, words

LEAST_WORDS_OF_LATER_TURN = 8  # fewer, such as "And then?", stand in many conversations that have nothing in common


class Mixed(NamedTuple):
    """Rows to train and evaluate on, rows that are left out, what came of each source and task, and what to say of it."""

    mixture: pl.LazyFrame
    left_out: pl.LazyFrame
    mix_summary: pl.DataFrame
    told: list[str]


def transform(clean: pl.LazyFrame, *, params: MixParams, progress: Progress) -> Mixed:
    """`mixture` with split and repeats, `left_out` with the reason for a row.

    First caps, then splits by groups of rows that must not be parted; of the training rows then the selection, the
    shares and the plain documents' replay. Sources count by their size up to `max_rows_per_source`
    (examples-proportional mixing with a cap, Raffel et al. 2020, 3.5.2). Which rows are taken hangs on each row's id
    and the seed. Raises ConfigError where a parameter names a source, task or column that is not there, DataError
    where rows that belong together came apart.
    """
    read = _read(clean)
    prompts = prompts_of(read)
    rows = with_groups(read, prompts).drop("opening", "later")
    capped = _capped(rows, params)
    for name in ("repeats", "loss_weights"):
        _check_sources(rows["source"].unique().to_list(), name, getattr(params, name))
    taken = capped.filter(pl.col("reason").is_null())
    split = taken.join(split_groups(taken, params), on="group")
    check_no_leak(split, prompts)
    train = split.filter(split="train")
    trained, requested = _train(train, clean, params, progress)
    held_out = split.filter(pl.col("split") != "train").select("row_id", "split", repeats=pl.lit(1, pl.Int32))
    told = trained.filter(pl.col("repeats") > 0).select("row_id", pl.lit("train").alias("split"), "repeats")
    chosen = pl.concat([told, held_out])
    reasons = pl.concat(
        [
            capped.filter(pl.col("reason").is_not_null()).select("row_id", "reason"),
            trained.filter(repeats=0).select("row_id", "reason"),
        ]
    )
    return Mixed(
        mixture=clean.join(chosen.lazy(), on="row_id", how="inner", maintain_order="left").with_columns(
            weight=pl.col("weight").fill_null(1.0)
            * pl.col("source").replace_strict(params.loss_weights, default=1.0, return_dtype=pl.Float64)
        ),
        left_out=clean.join(reasons.lazy(), on="row_id", how="inner", maintain_order="left"),
        mix_summary=summarise(rows.join(chosen, on="row_id", how="left"), requested, _choices(trained, clean, params)),
        told=shortfalls(train.drop("reason").join(trained, on="row_id"), requested, params) if rows.height else [],
    )


def _read(clean: pl.LazyFrame) -> pl.DataFrame:
    """Of each row what the choice hangs on: all texts but their lengths are left behind."""
    is_document = pl.col("messages").list.last().struct.field("role") == "text"
    return clean.select(
        "row_id",
        "source",
        "task",
        "group_id",
        opening=_in_words(opening_text()),
        later=later_questions().list.eval(_in_words(pl.element())).list.filter(_is_telling(pl.element())),
        is_document=is_document,
        chars=conversation_text().str.len_chars().fill_null(0).cast(pl.Int64),
    ).collect()


def _in_words(text: pl.Expr) -> pl.Expr:
    """The words of a text, by which texts that differ in case and punctuation are the same; the text where it has none."""
    plain = normalised(text)
    said = words(plain).list.join(" ")
    return pl.when(said == "").then(plain).otherwise(said)


def _is_telling(said: pl.Expr) -> pl.Expr:
    return said.str.count_matches(" ") >= LEAST_WORDS_OF_LATER_TURN - 1


def _capped(rows: pl.DataFrame, params: MixParams) -> pl.DataFrame:
    """`rows` with `reason`: the cap that leaves a row out, null for rows taken."""
    drawn = rows.with_columns(draw=draws(rows["row_id"], "cap", params.seed)).sort("draw", "row_id")
    place_in_source = pl.int_range(pl.len()).over("source")
    over_source = (
        pl.lit(value=False) if params.max_rows_per_source is None else place_in_source >= params.max_rows_per_source
    )
    marked = drawn.with_columns(over_source=over_source)
    place = (~pl.col("over_source")).cum_sum()
    over_total = pl.lit(value=False) if params.max_rows is None else place > params.max_rows
    return marked.with_columns(
        reason=pl.when("over_source").then(pl.lit("over_source_cap")).when(over_total).then(pl.lit("over_total_cap"))
    )


def _train(
    train: pl.DataFrame, clean: pl.LazyFrame, params: MixParams, progress: Progress
) -> tuple[pl.DataFrame, dict[tuple[str, str], float]]:
    """row_id, repeats and the reason for repeats of 0 of the training rows, and the shares that were asked for."""
    is_replay = pl.col("is_document") & pl.lit(params.replay_share is not None)
    named = train.with_columns(part=pl.col(params.part).fill_null(""))
    documents, others = named.filter(is_replay), named.filter(~is_replay)
    check_names(sizes_of(others), params)
    requested = requested_shares(sizes_of(others), params) if params.shares_decide else {}
    selected = _selected(others, requested, clean, params, progress)
    rest = others.join(selected, on="row_id", how="anti")
    if requested and not params.shares_given:
        requested = requested_shares(sizes_of(selected), params)
    shares = share_out(selected, requested, params) if params.shares_decide else _repeated(selected, params)
    seen = shares.join(others.select("row_id", "chars"), on="row_id")
    parts = [
        shares.select("row_id", "repeats", reason=pl.lit("over_share")),
        rest.select("row_id", repeats=pl.lit(0, pl.Int32), reason=pl.lit("not_selected")),
        replay(documents, seen, params).with_columns(reason=pl.lit("over_replay_share")),
    ]
    return pl.concat(parts), {(params.part, name): share for name, share in requested.items()}


def _selected(
    rows: pl.DataFrame, requested: Mapping[str, float], clean: pl.LazyFrame, params: MixParams, progress: Progress
) -> pl.DataFrame:
    """The rows that are chosen for quality and for being unlike one another, `draw` their order; without a number all."""
    if params.select_rows is None:
        return rows
    read = clean.join(rows.select("row_id").lazy(), on="row_id", how="semi").with_columns(text=conversation_text())
    ordered = read.collect().sort("row_id")
    vectors = model_vectors(ordered) if params.alike_by == "embedding" else text_vectors(ordered["text"])
    parts = _parts(ordered.select("row_id").join(rows, on="row_id", maintain_order="left")["part"], requested, params)
    chosen = select_rows(vectors, quality_of(ordered, params.quality), params.select_rows, progress, parts)
    order = pl.DataFrame({"row_id": ordered["row_id"].gather(chosen), "draw": range(len(chosen))})
    return rows.drop("draw").join(order, on="row_id")


def _parts(of_row: pl.Series, requested: Mapping[str, float], params: MixParams) -> Parts | None:
    """How many rows to choose of each part at most; None where nothing was asked for by part."""
    if not (params.shares_given or params.min_seen or params.max_seen):
        return None
    wanted = to_select(dict(of_row.value_counts().rows()), requested, params)
    names = sorted(wanted)
    number = dict(zip(names, range(len(names)), strict=True))
    return Parts(
        np.array([number[name] for name in of_row], dtype=np.int64),
        np.array([wanted[name] for name in names], dtype=np.int64),
    )


def _choices(trained: pl.DataFrame, clean: pl.LazyFrame, params: MixParams) -> dict[str, Honesty]:
    """How much select_rows goes by the length of answers, and how it compares with drawing lots."""
    if params.select_rows is None:
        return {}
    is_chosen = pl.col("reason") != "not_selected"
    took_part = trained.filter(pl.col("reason") != "over_replay_share").select("row_id", picked=is_chosen)
    quality = (params.quality or "").removeprefix("-")
    columns = ["row_id", "picked", "response_words", *([quality] if quality else [])]
    rows = clean.join(took_part.lazy(), on="row_id").select(pl.col(columns)).collect()
    choice = honesty_of_choice(rows, "picked", "response_words")
    if quality:
        towards = -1 if (params.quality or "").startswith("-") else 1
        scored = rows.with_columns(score=towards * pl.col(quality).cast(pl.Float64))
        choice = choice._replace(spearman=honesty_of_score(scored, "score", "response_words").spearman)
    return {f"select_rows by {params.quality or params.alike_by}": choice}


def _repeated(rows: pl.DataFrame, params: MixParams) -> pl.DataFrame:
    repeats = pl.col("source").replace_strict(params.repeats, default=1, return_dtype=pl.Int32)
    return rows.select("row_id", repeats=repeats)


def _check_sources(sources: list[str], setting: str, named: Mapping[str, object]) -> None:
    if unknown := sorted(set(named) - set(sources)):
        raise ConfigError(
            f"mix: {setting} names {', '.join(unknown)}, and no row is from there; the sources are "
            f"{', '.join(sorted(sources)) or 'none: there are no rows'}; correct the names in the profile"
        )
