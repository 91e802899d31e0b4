"""How often each plain document is seen, so that documents have their share of an epoch of training."""

import polars as pl

from stages.mix.stage import MixParams


def replay(documents: pl.DataFrame, conversations: pl.DataFrame, params: MixParams) -> pl.DataFrame:
    """row_id and repeats of the documents; 0 for one that is not taken.

    `documents` has row_id, chars and draw, `conversations` chars and repeats. Documents are taken by draw, around and
    around but `max_repeats` times at most, until they have the share: within one document of it.
    """
    size = pl.lit(1) if params.replay_of == "rows" else pl.col("chars")
    share = params.replay_share or 0.0
    trained = conversations.select((size * pl.col("repeats")).sum()).item()
    wanted = share / (1 - share) * trained
    drawn = documents.sort("draw", "row_id").with_columns(size=size.cast(pl.Int64))
    every = int(drawn["size"].sum())
    rounds = min(int(wanted // every), params.max_repeats) if every else 0
    rest = wanted - rounds * every if rounds < params.max_repeats else 0.0
    before = pl.col("size").cum_sum() - pl.col("size")
    once_more = before + pl.col("size") / 2 <= rest  # to the nearest document
    return drawn.select("row_id", repeats=(rounds + once_more.cast(pl.Int32)).cast(pl.Int32))
