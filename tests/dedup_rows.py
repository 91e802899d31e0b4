"""Rows for the tests of dedup, its verdicts by name, and the likeness of two texts worked out in plain Python."""

import random
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from rows import conversation, table
from stages.dedup.comparison import Comparison
from stages.dedup.corpus import Sketched, corpus_of
from stages.dedup.decisions import comparison_of, decide, matches_of
from stages.dedup.shingle_chunks import Chunk, ShingleChunks
from stages.dedup.sketches import sketch
from stages.dedup.stage import DedupParams
from stages.dedup.turns import Turns
from stages.dedup.verdicts import Verdicts, light_rows
from stages.dedup.verdicts import verdicts as tables_of

STORY = (
    "the old ferry left the harbour at dawn with nine goats two priests and a crate of lemons bound for the north shore"
)


def row(name: str, *turns: str, **columns: Any) -> dict[str, Any]:
    """A conversation whose `file` is its name."""
    return conversation(name, *turns, file=name, **columns)


def dedup(rows: Iterable[dict[str, Any]], **params: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that stay and the rows that go, each with its verdict, sorted by row_id."""
    conversations = table("conversations", list(rows))
    made = divide(conversations, DedupParams(**params))
    stay, go = (conversations.join(verdict, on="row_id").sort("row_id") for verdict in made)
    return stay, go


def divide(conversations: pl.DataFrame, params: DedupParams) -> Verdicts:
    """The verdict on every row, in memory and with nothing kept."""
    comparison = compared(conversations, params)
    return tables_of(comparison.corpus, decide(comparison, matches_of(comparison)), params)


def compared(conversations: pl.DataFrame, params: DedupParams) -> Comparison:
    """What has to be compared of some rows, in memory."""
    sketches = sketch(conversations, params)
    whole, single = (
        ShingleChunks([Chunk(runs.counts, runs.hashes)]) for runs in (sketches.shingles, sketches.turn_shingles)
    )
    texts = (sketches.text, sketches.opening, sketches.question, sketches.length)
    sketched = Sketched(*texts, whole, Turns(single, sketches.long_turns))
    corpus = corpus_of(light_rows(conversations), np.arange(conversations.height), sketched, params)
    return comparison_of(corpus, params)


def verdicts(rows: list[dict[str, Any]], **params: Any) -> dict[str, tuple[str, str, float]]:
    """Name of each row that goes -> name of its survivor, reason, similarity."""
    _, gone = dedup(rows, **params)
    name_of = {row["row_id"]: row["file"] for row in rows}
    told = gone.select("file", "survivor_id", "reason", "similarity").rows()
    return {name: (name_of[survivor], reason, similarity) for name, survivor, reason, similarity in told}


def shingles(text: str, size: int = 3) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))} if words else set()


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def with_changed_words(text: str, *positions: int) -> str:
    words = text.split()
    for position in positions:
        words[position] = f"changed{position}"
    return " ".join(words)


def random_text(seed: int, words: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"w{draw.randrange(3000)}" for _ in range(words))


def planted(originals: int, seed: int) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Random texts, for a third of them a copy with a few words changed, and the pairs of at least 0.85."""
    draw = random.Random(seed)
    rows, pairs = [], []
    for i in range(originals):
        text = random_text(seed * 1_000_003 + i, draw.randrange(40, 120))
        rows.append(row(f"original {i}", text, "Yes."))
        if i % 3 == 0:
            changed = (draw.randrange(len(text.split())) for _ in range(draw.randrange(1, 4)))
            copy = with_changed_words(text, *changed)
            rows.append(row(f"copy {i}", copy, "Yes."))
            if jaccard(text + " yes", copy + " yes") >= 0.85:
                pairs.append((f"original {i}", f"copy {i}"))
    return rows, pairs
