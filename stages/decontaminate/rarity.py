"""How rare the words of an evaluation text are in the rows: an everyday phrase is made of words that many rows have."""

import polars as pl

from stages.texts.conversation_text import every_text, normalised
from stages.texts.word_runs import word_hashes

SAMPLED_ROWS = 20_000  # a word in one of a thousand rows is then in about 20 of them


def rarest_word_shares(texts: pl.DataFrame, rows: pl.LazyFrame) -> pl.DataFrame:
    """text and rarest_share: of `rows`, the share that has the word of the text that fewest of them have.

    `texts` have text, a number, and phrase, words between spaces. The rows of the lowest ids are read: a sample by chance,
    as ids are digests, and the same in any order.
    """
    if texts.is_empty():
        return pl.DataFrame(schema={"text": texts.schema["text"], "rarest_share": pl.Float64})
    ids = rows.select(pl.col("row_id").bottom_k(SAMPLED_ROWS))
    sample = rows.join(ids, on="row_id", how="semi").select(said=normalised(every_text())).collect()
    said, wanted = word_hashes(sample["said"]), word_hashes(texts["phrase"])
    words = pl.DataFrame({"text": texts["text"].gather(wanted.owners), "word": wanted.hashes})
    holders = (
        pl.DataFrame({"row": said.owners, "word": said.hashes})
        .join(words, on="word", how="semi")
        .unique()
        .group_by("word")
        .agg(share=pl.len() / sample.height)
    )
    counted = words.join(holders, on="word", how="left").group_by("text")
    return counted.agg(rarest_share=pl.col("share").fill_null(0.0).min())
