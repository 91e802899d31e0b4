"""The ratings that come from the base model, as columns beside the rows."""

import math
from collections import Counter

import polars as pl

from stages.rate.surprise import BaseReader, Loss, Pair
from stages.rate.texts import answers_in_context, rendered

MOST_NATS = 690.0  # exp of more is no float64
RATINGS: dict[str, pl.DataType] = {
    "answer_tokens": pl.Int64(),
    "perplexity": pl.Float64(),
    "perplexity_alone": pl.Float64(),
    "ifd": pl.Float64(),
}


def rate_by_base(rows: pl.DataFrame, reader: BaseReader, unrated: Counter[str]) -> pl.DataFrame:
    """`row_id`, `answer_chars` and the columns of RATINGS, row by row; counts in `unrated` why rows have gaps."""
    texts = answers_in_context(rows)
    if reader.params.prompt_form == "own_template":
        own, asks = rendered(rows, reader.chat), texts["context"].is_not_null()
        refused = texts.filter(asks & own.is_null(), pl.col("answer").is_not_null()).height
        unrated.update(unrenderable=refused, empty_prompt=-refused)  # the row is counted again below
        texts = texts.with_columns(context=pl.when(asks).then(own))
    answered = texts.with_row_index("place").filter(pl.col("answer").is_not_null())
    asked = answered.filter(pl.col("context").is_not_null())
    pairs = [Pair("", answer) for answer in answered["answer"]]
    pairs += [Pair(context, answer) for context, answer in asked.select("context", "answer").iter_rows()]
    losses = reader.read(pairs)
    alone = dict(zip(answered["place"], losses, strict=False))
    given = dict(zip(asked["place"], losses[answered.height :], strict=True))
    found = [
        _ratings(alone.get(place), alone.get(place) if is_document else given.get(place), reader.longest, unrated)
        for place, is_document in enumerate(texts["is_document"])
    ]
    ratings = pl.DataFrame(found, schema=RATINGS, orient="row")
    # For a document the two losses are one, and their ratio says nothing.
    is_difficult = ~texts["is_document"]
    return pl.concat([texts.select("row_id", "answer_chars"), ratings], how="horizontal").with_columns(
        ifd=pl.when(is_difficult).then("ifd")
    )


def _ratings(
    alone: Loss | None, given: Loss | None, longest: int, unrated: Counter[str]
) -> tuple[int | None, float | None, float | None, float | None]:
    """answer_tokens, perplexity, perplexity_alone, ifd; counts the row once where one of them is missing."""
    if alone is None:
        unrated["empty_answer"] += 1
        return None, None, None, None
    loss_alone = alone.mean(longest)
    loss = given.mean(longest) if given else None
    if reason := _gap(alone, given, longest):
        unrated[reason] += 1
    # Loss over loss, as Li et al. 2024 (Cherry LLM) define it; Superfiltering's code divides the perplexities.
    ifd = loss / loss_alone if loss is not None and loss_alone else None
    return alone.answer_tokens or None, _perplexity(loss), _perplexity(loss_alone), ifd


def _gap(alone: Loss, given: Loss | None, longest: int) -> str | None:
    """Why a row with an answer lacks a rating."""
    if given is None:
        return "empty_prompt"
    if max(alone.sequence_tokens, given.sequence_tokens) > longest:
        return "too_long"
    if not alone.predicted_tokens:
        return "nothing_to_predict"
    if alone.nats is None or given.nats is None:
        return "not_a_number"
    return None


def _perplexity(loss: float | None) -> float | None:
    return math.exp(loss) if loss is not None and loss < MOST_NATS else None
