"""Makes corpora for the benchmark of dedup from real instructions, as large as asked, with planted copies and their truth.

Beyond the first, each repetition of the source has its words exchanged for others about as frequent, so that lengths
and frequencies stay those of real text and nothing repeats that was not planted.
"""

import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import polars as pl

PART_ROWS = 100_000
PLANTED_SHARE = 0.02  # of all rows: copies with changed words
LIKE, UNLIKE = (0.85, 0.95), (0.55, 0.75)  # Jaccard of the planted pairs that must be found, and of those that must not
SHINGLE_WORDS = 3


class Planted(NamedTuple):
    row: int
    original: int
    similarity: float


def texts_of(pairs: list[tuple[str, str]], rows: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """`rows` pairs of prompt and answer."""
    pieces = [(_pieces(prompt), _pieces(answer)) for prompt, answer in pairs[:rows]]
    ranked = _ranked(pieces)
    for repetition in range(-(-rows // len(pairs))):
        exchange = _exchange(ranked, repetition, seed)
        for prompt, answer in pieces[: rows - repetition * len(pairs)]:
            yield _spelled(prompt, exchange), _spelled(answer, exchange)


def templated(pairs: list[tuple[str, str]], rows: int, templates: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """`rows` pairs, each one of so many templates of 25 words, filled in with six words, and an answer of three."""
    draw = random.Random(seed)
    words = [word for prompt, answer in pairs for word in re.findall(r"\w+", f"{prompt} {answer}")]
    starts = [" ".join(draw.choices(words, k=25)) for _ in range(templates)]
    for number in range(rows):
        yield f"{starts[number % templates]} {' '.join(draw.choices(words, k=6))}", " ".join(draw.choices(words, k=3))


def _pieces(text: str) -> tuple[str, ...]:
    """Words, and between each two what stands there."""
    return tuple(map(sys.intern, re.split(r"(\w+)", text)))


def _ranked(pieces: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> list[str]:
    """All words, the most frequent first."""
    counts = Counter(word for pair in pieces for text in pair for word in text[1::2])
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _exchange(ranked: list[str], repetition: int, seed: int) -> dict[str, str]:
    if repetition == 0:
        return {}
    draw, exchange = random.Random(seed * 1000 + repetition), {}
    first = 0
    while first < len(ranked):  # words of ranks 1, 2-3, 4-7, … change places
        band = ranked[first : 2 * first + 1]
        exchange |= dict(zip(band, draw.sample(band, len(band)), strict=True))
        first = 2 * first + 1
    return exchange


def _spelled(pieces: tuple[str, ...], exchange: dict[str, str]) -> str:
    return "".join(map(exchange.get, pieces, pieces))


def plant(texts: list[tuple[str, str]], seed: int = 0) -> tuple[list[tuple[str, str]], list[Planted]]:
    """`texts` with a copy of some appended, half of them to be found and half not, and the truth about each."""
    draw = random.Random(seed)
    long_enough = [i for i in range(len(texts)) if len(texts[i][1].split()) > 40]
    copies, truth = [], []
    for number, original in enumerate(draw.sample(long_enough, min(int(len(texts) * PLANTED_SHARE), len(long_enough)))):
        prompt, answer = texts[original]
        low, high = (LIKE, UNLIKE)[number % 2]
        changed = _changed(answer, draw, low, high, prompt)
        if changed:
            truth.append(Planted(len(texts) + len(copies), original, changed[1]))
            copies.append((prompt, changed[0]))
    return texts + copies, truth


def _changed(answer: str, draw: random.Random, low: float, high: float, prompt: str) -> tuple[str, float] | None:
    words = answer.split(" ")
    target, whole = draw.uniform(low, high), shingles(f"{prompt}\n{answer}")
    for _ in range(400):
        words[draw.randrange(len(words))] = f"w{draw.randrange(10**6)}"
        text = " ".join(words)
        similarity = jaccard(whole, shingles(f"{prompt}\n{text}"))
        if similarity <= target:
            return (text, similarity) if similarity >= low else None
    return None


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + SHINGLE_WORDS]) for i in range(max(len(words) - SHINGLE_WORDS + 1, 1))}


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


def row_id(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()[:32]


def write_conversations(texts: list[tuple[str, str]], folder: Path) -> None:
    """The rows as a table of conversations, sorted by row_id."""
    folder.mkdir(parents=True, exist_ok=True)
    order = sorted(range(len(texts)), key=row_id)
    for part, first in enumerate(range(0, len(order), PART_ROWS)):
        rows = order[first : first + PART_ROWS]
        turns = [
            [{"role": "user", "content": texts[i][0], "reasoning_content": None, "tool_calls": None},
             {"role": "assistant", "content": texts[i][1], "reasoning_content": None, "tool_calls": None}]
            for i in rows
        ]  # fmt: skip
        turn = pl.Struct(dict.fromkeys(["role", "content", "reasoning_content", "tool_calls"], pl.String))
        pl.DataFrame(
            {
                "row_id": [row_id(i) for i in rows],
                "content_id": [sha256("\0".join(texts[i]).encode()).hexdigest()[:32] for i in rows],
                "source": ["bench"] * len(rows),
                "messages": pl.Series(turns, dtype=pl.List(turn)),
            }
        ).with_columns(repairs=pl.lit(None, pl.List(pl.String))).write_parquet(folder / f"part-{part:05d}.parquet")


def conversation_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """row_id and text of the rows that `write_conversations` wrote."""
    for part in sorted(folder.glob("part-*.parquet")):
        text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("\n")
        yield from pl.read_parquet(part).select("row_id", text).iter_rows()
