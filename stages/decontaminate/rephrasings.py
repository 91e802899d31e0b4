"""Finds rows that ask an evaluation item in other words."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from stages.decontaminate.calibration import Calibration, calibrate, least_scores
from stages.decontaminate.eval_items import EvalText
from stages.decontaminate.features import Floats, Weights, concept_counts, content_words, features_of, weights_of
from stages.decontaminate.lexicon import FUNCTION_WORDS
from stages.decontaminate.overlaps import FOUND
from stages.decontaminate.own_scores import own_scores
from stages.decontaminate.own_words import own_words
from stages.decontaminate.similarity import Texts, score_pairs
from stages.decontaminate.stage import DecontaminateParams
from stages.decontaminate.turns import answer_words, asked_turns, final_number
from stages.texts.conversation_text import normalised

SAMPLED_ROWS = 20_000  # enough to know which words are rare in the rows
LEAST_CONTENT_WORDS = 4  # an item of fewer is found only word by word: too much is said in other words with three
SHOWN_CHARS = 200
SHOWN_WORDS = 12


class Wanted(NamedTuple):
    """Items to find in other words."""

    items: pl.DataFrame  # file, item, text, answer, number
    texts: Texts
    own: pl.Series  # the items without what others of the file say in the same words
    weights: Weights


class Rephrased(NamedTuple):
    """What was found, and how surely, per file."""

    found: pl.DataFrame  # the columns FOUND
    calibrations: dict[str, Calibration]


BEST: dict[str, type[pl.DataType]] = {
    "row_id": pl.String, "file": pl.String, "score": pl.Float64, "text_number": pl.Int64, "turn": pl.Int64,
}  # fmt: skip


def weights_in(rows: pl.LazyFrame, items: pl.DataFrame) -> Weights:
    """How rare words are in `rows` and in the files of the `items`."""
    return weights_of([_sample(rows), *(part["text"] for part in items.partition_by("file", maintain_order=True))])


def wanted_in(items: pl.DataFrame, weights: Weights, params: DecontaminateParams) -> Wanted | None:
    """The `items` to find in other words; None where there are none, or none is looked for."""
    if params.max_false_positive_rate is None or items.is_empty():
        return None
    own = own_words(items)
    return Wanted(items, _texts(items, weights)._replace(own=features_of(own, weights)), own, weights)


def likest_items(rows: pl.LazyFrame, wanted: Wanted | None) -> pl.DataFrame:
    """The columns BEST: of each row and file the likest pair, where one is like at all."""
    return pl.DataFrame(schema=BEST) if wanted is None else _best(asked_turns(rows), wanted)


def without(too_common: pl.DataFrame, best: pl.DataFrame, wanted: Wanted | None) -> pl.DataFrame:
    """`best` without rows that are like an item because they hold it whole, as many rows do."""
    if wanted is None:
        return best
    told = too_common.filter("is_whole").rename({"eval_file": "file", "eval_item": "item"})
    items = best.with_columns(item=wanted.items["item"].gather(best["text_number"]))
    return items.join(told, on=["row_id", "file", "item"], how="anti", maintain_order="left").select(best.columns)


def find_rephrasings(
    best: pl.DataFrame,
    rows: pl.LazyFrame,
    wanted: Wanted | None,
    clean_rows: pl.Series,
    params: DecontaminateParams,
) -> Rephrased:
    """The rows of which a turn says what an item says, each with the item it is likest to.

    `best` are the columns BEST of all `rows`; `clean_rows` the ids of rows known clean.
    """
    rate = params.max_false_positive_rate
    if rate is None or wanted is None:
        return Rephrased(pl.DataFrame(schema=FOUND), {})
    own = own_scores(wanted.items, wanted.texts, wanted.own, params)
    clean = best.filter(pl.col("row_id").is_in(clean_rows.implode()))
    clean_scores = {file: _scores_of(clean, file, len(clean_rows)) for file in own}
    calibrations = calibrate(own, clean_scores, rate, params.sure_score)
    flagged = best.join(least_scores(calibrations), on="file").filter(pl.col("score") >= pl.col("least_score"))
    likest = flagged.sort("row_id", -(pl.col("score") / pl.col("least_score")), "file").unique(
        "row_id", keep="first", maintain_order=True
    )
    found_rows = asked_turns(rows.join(likest.lazy().select("row_id"), on="row_id", how="semi"))
    return Rephrased(_with_evidence(likest, found_rows, wanted.items), calibrations)


def _sample(rows: pl.LazyFrame) -> pl.Series:
    """What the rows of the lowest ids ask: a sample by chance, as ids are digests, and the same in any order."""
    ids = rows.select(pl.col("row_id").bottom_k(SAMPLED_ROWS))
    return asked_turns(rows.join(ids, on="row_id", how="semi"))["text"]


def telling_items(texts: Sequence[EvalText]) -> pl.DataFrame:
    """file, item, text, answer and number of the prompts that say enough to be found in other words."""
    table = pl.DataFrame(texts, schema=["file", "item", "text", "role"], orient="row")
    answers = (
        table.filter(role="answer").group_by("file", "item", maintain_order=True).agg(answer=pl.col("text").last())
    )
    gists = table.filter(role="gist")
    others = table.filter(role="prompt").join(gists, on=["file", "item"], how="anti", maintain_order="left")
    prompts = (
        pl.concat([gists, others])
        .with_columns(text=normalised(pl.col("text")))
        .unique(["file", "item", "text"], maintain_order=True)
        .join(answers, on=["file", "item"], how="left", maintain_order="left")
        .select("file", "item", "text", answer=answer_words(pl.col("answer")), number=final_number(pl.col("answer")))
    )
    telling = prompts.filter(pl.Series(content_words(prompts["text"]) >= LEAST_CONTENT_WORDS))
    return telling.filter(~_begins_like_another())


def _begins_like_another() -> pl.Expr:
    """Whether a text is another of its item with more behind it: with its choices, questions are alike that are not."""
    shortest = pl.col("text").sort_by(pl.col("text").str.len_chars()).first().over("file", "item")
    return (pl.col("text") != shortest) & pl.col("text").str.starts_with(shortest)


def _texts(table: pl.DataFrame, weights: Weights) -> Texts:
    return Texts(features_of(table["text"], weights), table["number"].fill_null(np.nan).to_numpy(), table["answer"])


def _best(turns: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    pairs = score_pairs(_texts(turns, wanted.weights), wanted.texts)
    table = pl.DataFrame(
        {
            "row_id": turns["row_id"].gather(pairs.left),
            "file": wanted.items["file"].gather(pairs.right),
            "score": pairs.score,
            "text_number": pairs.right,
            "turn": turns["turn"].gather(pairs.left),
        },
        schema=BEST,
    )
    return table.sort("row_id", "file", -pl.col("score"), "text_number", "turn").unique(
        ["row_id", "file"], keep="first", maintain_order=True
    )


def _scores_of(best: pl.DataFrame, file: str, rows: int) -> Floats:
    scores = np.zeros(rows)
    found = best.filter(file=file)["score"].to_numpy()
    scores[: len(found)] = found
    return scores


def _with_evidence(likest: pl.DataFrame, turns: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The columns FOUND: what the item says first, and the rarest words and the numbers that the row shares with it."""
    if likest.is_empty():
        return pl.DataFrame(schema=FOUND)
    pairs = likest.join(
        turns.select("row_id", "turn", "text"), on=["row_id", "turn"], maintain_order="left"
    ).with_columns(
        item=items["item"].gather(likest["text_number"]), item_text=items["text"].gather(likest["text_number"])
    )
    shared = concept_counts(pairs["text"]).join(concept_counts(pairs["item_text"]), on=["owner", "concept"])
    told = (
        shared.filter(~pl.col("concept").is_in(sorted(FUNCTION_WORDS)))
        .sort("owner", pl.col("concept").str.starts_with("#"), "concept")
        .group_by("owner", maintain_order=True)
        .agg(pl.col("concept").head(SHOWN_WORDS).str.strip_prefix("#"))
        .with_columns(pl.col("concept").list.join(" "))
    )
    words = (
        pairs.with_row_index("owner")
        .with_columns(pl.col("owner").cast(pl.Int64))
        .join(told, on="owner", how="left", maintain_order="left")
    )
    return words.select(
        row_id="row_id",
        reason=pl.lit("eval_rephrased"),
        eval_file="file",
        eval_item="item",
        evidence=pl.format(
            "{} (shared: {})", pl.col("item_text").str.head(SHOWN_CHARS), pl.col("concept").fill_null("")
        ),
        overlap="score",
    )
