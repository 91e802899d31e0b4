"""How long rows are, and which columns say of what kind they are."""

import polars as pl

from stages.store.queries import fetch
from stages.texts.conversation_text import answers_text, prompt_text

MEASURES = {
    "response_chars": "Answer length in characters",
    "prompt_chars": "Prompt length in characters",
    "turns": "Turns of a conversation",
}
KIND_NAMES = ("task", "language")  # a text column whose name holds one of these says of what kind a row is
KIND_CHARS = 60


def told_by_name(kinds: int, most: int) -> int:
    """How many of so many kinds have a name where those beyond `most` are told together: a single other one has, too."""
    return kinds if kinds == most + 1 else most


def value_counts(table: pl.LazyFrame) -> pl.DataFrame:
    """measure, value, rows: as many rows as there are distinct lengths, however large the table is."""
    columns = table.collect_schema().names()
    is_document = pl.col("messages").list.first().struct.field("role") == "text"
    texts = {"response_chars": answers_text(), "prompt_chars": pl.when(~is_document).then(prompt_text())}
    known = [pl.col(name) for name in texts if name in columns]
    made = [text.str.len_chars().alias(name) for name, text in texts.items() if name not in columns]
    turns = pl.when(~is_document).then(pl.col("messages").list.len()).alias("turns")
    long = (
        table.select(*known, *made, turns)
        .select(pl.col(*MEASURES).cast(pl.Int64))
        .unpivot(variable_name="measure")
        .drop_nulls("value")
    )
    return fetch(long.group_by("measure", "value").agg(rows=pl.len())).sort("measure", "value")


def quantiles(counts: pl.DataFrame, rows: int) -> tuple[int, int, int]:
    """The values that 5 %, half and 95 % of the rows do not exceed."""
    up_to = counts.select("value", reached=pl.col("rows").cum_sum() / rows)
    low, median, high = (int(up_to.filter(pl.col("reached") >= share)["value"][0]) for share in (0.05, 0.5, 0.95))
    return low, median, high


def kind_columns(table: pl.LazyFrame) -> list[str]:
    """The text columns that say of what task or language a row is."""
    columns = table.collect_schema().items()
    return [name for name, dtype in columns if dtype == pl.String and any(kind in name for kind in KIND_NAMES)]
