"""What of an evaluation item is its own: its words but for long runs of them that other items of the file have too.

An instruction to all readers, or a passage that several questions are about, makes different items look alike.
"""

import polars as pl

from stages.decontaminate.features import content_words

SHARED_RUN = 8  # words
SHARING_ITEMS = 3  # two items alike may be one that was changed a little, and so may a row be
LEAST_OWN = 3  # content words, with which an item can be told from others


def own_words(items: pl.DataFrame) -> pl.Series:
    """The text of each of `items` (file, item, text) without shared runs; whole where too little would be left."""
    spoken = (
        items.select("file", "item", word=pl.col("text").str.split(" "))
        .with_row_index("text")
        .explode("word", empty_as_null=False)
    )
    bare = pl.col("word").str.replace_all(r"[^\p{L}\p{M}\p{N}]", "")
    run = pl.concat_str([bare.shift(-place) for place in range(SHARED_RUN)], separator=" ").over("text")
    shared = (pl.col("item").n_unique().over("file", "run") >= SHARING_ITEMS) & pl.col("run").is_not_null()
    covered = pl.col("shared").rolling_max(SHARED_RUN, min_samples=1).over("text")
    own = (
        spoken.with_columns(run=run)
        .with_columns(shared=shared.cast(pl.Int8))
        .filter(covered == 0)
        .group_by("text", maintain_order=True)
        .agg(own=pl.col("word").str.join(" "))
    )
    every = items.with_row_index("text_number").select(pl.col("text_number").alias("number"), "text")
    left = every.join(own, left_on="number", right_on="text", how="left", maintain_order="left").with_columns(
        pl.col("own").fill_null("")
    )
    enough = pl.Series(content_words(left["own"]) >= LEAST_OWN)
    return left.select(pl.when(enough).then("own").otherwise("text")).to_series()
