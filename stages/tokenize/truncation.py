"""What max_tokens cost, source by source: nothing is cut within an answer, and nothing is left out unsaid."""

from pathlib import Path

import polars as pl

ANSWERS = pl.col("messages").list.eval(pl.element().struct.field("role").is_in(["assistant", "text"])).list.sum()
LOST = ("rows_shortened", "rows_lost", "answers", "tokens", "end_tokens")


def truncation_ledger(examples: list[Path], refused: list[Path]) -> dict[str, dict[str, int]]:
    """Source -> what was left out of it, sources that lost nothing included.

    `rows_shortened` lost whole exchanges from their end, `rows_lost` are refused as too_long; `answers` and `tokens`
    went with them, and with each answer its end token.
    """
    shortened = pl.scan_parquet(examples, glob=False).select(
        "source",
        rows_shortened=(pl.col("answers_dropped") > 0).cast(pl.Int64),
        rows_lost=pl.lit(0, pl.Int64),
        answers=pl.col("answers_dropped").cast(pl.Int64),
        tokens=pl.col("tokens_dropped").cast(pl.Int64),
    )
    is_lost = pl.col("reason") == "too_long"
    lost = pl.scan_parquet(refused, glob=False).select(
        "source",
        rows_shortened=pl.lit(0, pl.Int64),
        rows_lost=is_lost.cast(pl.Int64),
        answers=pl.when(is_lost).then(ANSWERS.cast(pl.Int64)).otherwise(0),
        tokens=pl.when(is_lost).then(pl.col("detail").str.extract(r"all have (\d+)").cast(pl.Int64)).otherwise(0),
    )
    totals = pl.concat([shortened, lost]).group_by("source").sum().sort("source").collect()
    return {
        row["source"]: {name: row["answers" if name == "end_tokens" else name] for name in LOST}
        for row in totals.iter_rows(named=True)
    }
