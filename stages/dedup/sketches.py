"""What dedup needs to know of each row: a few numbers and its shingles, a hundredth of the row's text.

A sketch depends on its own row alone, so rows may be sketched in any order, batches or processes, and kept by content.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.dedup.stage import DedupParams
from stages.texts.word_bytes import Booleans, Hashes, Ints, TextWords, scattered, text_words
from stages.texts.word_runs import Runs, run_hashes

TURN_FACTOR, TEXT_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd; as in word_bytes
NO_TEXT = 0


class Sketches(NamedTuple):
    """One entry per row in each field but the last."""

    text: Hashes  # two columns; equal for equal texts but for case and white space, NO_TEXT where there is nothing to compare
    opening: Hashes  # the first turn that is not the system's
    question: Hashes  # everything before the last answer, the system's turn with it
    length: Ints  # bytes without white space: of the last turn, or under key `turns` of the compared text
    shingles: Runs  # of the compared text
    long_turns: Ints  # how many turns with words a row has that is compared turn by turn; 0 for any other
    turn_shingles: Runs  # of each of these turns


def sketch(conversations: pl.DataFrame, params: DedupParams) -> Sketches:
    """The sketches of rows with `messages`, in their order."""
    turns = _turns(conversations)
    row = turns["row"].to_numpy().astype(np.int64)
    found = text_words(turns["text"])
    turn_keys = _turn_keys(found)
    role, last = turns["role"], turns["last"].to_numpy()
    not_system = (role != "system").to_numpy()
    compared = {"prompt": role.is_in(["user", "tool"]).to_numpy(), "response": last}.get(params.key, not_system)
    first = not_system & (np.cumsum(not_system) - 1 == _before_row(not_system, row))
    count = conversations.height
    measured = compared if params.key == "turns" else last
    length = np.bincount(row[measured], weights=found.solid_bytes[measured], minlength=count).astype(np.int64)
    long_turns = _long_turns(found, row, compared, count, params)
    single = compared & (found.counts > 0) & (long_turns[row] > 0)
    return Sketches(
        text=_key(turn_keys, row, compared, count),
        opening=_key(turn_keys, row, first, count),
        question=_key(turn_keys, row, ~last, count),
        length=length,
        shingles=_shingles(found, row, compared, count, params.shingle_words),
        long_turns=long_turns,
        turn_shingles=_shingles(found, np.cumsum(single) - 1, single, int(single.sum()), params.shingle_words),
    )


def _turns(conversations: pl.DataFrame) -> pl.DataFrame:
    """A line per turn: row, role, text with reasoning and tool calls, and whether it is the last of its row."""
    said = ["reasoning_content", "content", "tool_calls"]
    turns = (
        conversations.select(pl.int_range(pl.len()).alias("row"), "messages")
        .explode("messages", empty_as_null=False)
        .unnest("messages")
    )
    extras = [name for name in said if name == "content" or turns[name].null_count() < turns.height]
    return turns.select(
        "row",
        "role",
        text=pl.concat_str([_stated(name) for name in extras], separator="\n", ignore_nulls=True).fill_null(""),
        last=pl.col("row") != pl.col("row").shift(-1, fill_value=-1),
    )


def _stated(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name))


def _turn_keys(found: TextWords) -> Hashes:
    """Two hashes of each turn's words in their order and of what stands between them; NO_TEXT for neither."""
    ends = np.cumsum(found.counts)
    place = np.arange(len(found.hashes)) - np.repeat(ends - found.counts, found.counts)
    sums = [
        np.concatenate([[np.uint64(0)], np.cumsum(found.hashes * _powers(factor, place))])
        for factor in (TURN_FACTOR, TEXT_FACTOR)
    ]
    words = np.stack([total[ends] - total[ends - found.counts] for total in sums], axis=1)
    empty = (found.counts == 0) & (found.between == 0)
    keys = scattered(words ^ scattered(found.between)[:, None])
    keys[empty] = NO_TEXT
    return keys


def _powers(factor: np.uint64, place: Ints) -> Hashes:
    """factor^(place + 1) modulo 2^64."""
    factors: Hashes = np.full(place.max(initial=-1) + 1, factor, dtype=np.uint64)
    return np.cumprod(factors, dtype=np.uint64)[place]


def _before_row(chosen: Booleans, row: Ints) -> Ints:
    """Per turn, how many of the chosen turns stand in earlier rows."""
    before = np.concatenate([[0], np.cumsum(chosen)])
    return before[np.searchsorted(row, row)]


def _key(turn_keys: Hashes, row: Ints, chosen: Booleans, count: int) -> Hashes:
    """Per row, a key of its chosen turns in their order; turns without text do not count."""
    chosen = chosen & (turn_keys != NO_TEXT).any(axis=1)
    owners = row[chosen]
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)
    keys = np.zeros((count, 2), dtype=np.uint64)
    for column in range(2):
        np.add.at(keys[:, column], owners, scattered(turn_keys[chosen, column] * _powers(TEXT_FACTOR, place)))
    return keys


def _long_turns(found: TextWords, row: Ints, compared: Booleans, count: int, params: DedupParams) -> Ints:
    """Per row, how many turns it is compared by."""
    if params.key != "turns":
        return np.zeros(count, dtype=np.int64)
    turns = np.bincount(row[compared & (found.counts > 0)], minlength=count)
    return np.where(turns >= params.min_long_turns, turns, 0)


def _shingles(found: TextWords, row: Ints, compared: Booleans, count: int, length: int) -> Runs:
    words = found.hashes if compared.all() else found.hashes[np.repeat(compared, found.counts)]
    counts = np.bincount(row[compared], weights=found.counts[compared], minlength=count).astype(np.int64)
    return run_hashes(Runs(words, counts), length, short_texts=True)
