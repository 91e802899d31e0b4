"""Rows for the tests of mix, and the stage's answer as tables in a fixed order."""

from typing import Any, NamedTuple

import polars as pl

from rows import conversation, table
from stages.mix.stage import MixParams
from stages.mix.transform import transform
from workbench import say_nothing


class Mixed(NamedTuple):
    mixture: pl.DataFrame
    left_out: pl.DataFrame
    summary: pl.DataFrame
    told: list[str]

    def of(self, name: str, part: str = "source") -> dict[str, Any]:
        """The line of one source or task in the summary."""
        return self.summary.filter(part=part, name=name).row(0, named=True)

    def train(self, **facts: Any) -> pl.DataFrame:
        return self.mixture.filter(split="train", **facts)


def row(name: str, question: str | None = None, answer: str = "A thing.", **columns: Any) -> dict[str, Any]:
    signals = {"repeated_trigram_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0}
    texts = (question or f"What is {name}?", answer)
    facts = {"response_chars": len(answer), "response_words": 1, **signals, **columns}
    return conversation(name, *texts, file=name, **facts)


def document(name: str, words: int = 10, **columns: Any) -> dict[str, Any]:
    text = f"About {name}." + " More." * (words - 2)
    return {**row(name, **columns), "messages": [{"role": "text", "content": text}]}


def many(count: int, source: str = "test", **columns: Any) -> list[dict[str, Any]]:
    return [row(f"{source} {i}", source=source, **columns) for i in range(count)]


def mix(rows: list[dict[str, Any]], **params: Any) -> Mixed:
    made = transform(table("clean", rows).lazy(), params=MixParams(**params), progress=say_nothing)
    return Mixed(
        made.mixture.collect().sort("row_id"), made.left_out.collect().sort("row_id"), made.mix_summary, made.told
    )
