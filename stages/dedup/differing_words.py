"""Shows where two texts part, for people who judge whether a row was rightly taken for a repetition."""

import polars as pl

from stages.texts.conversation_text import conversation_text, prompt_text, response_text, words

SHOWN = 8  # words


def compared_text(key: str) -> pl.Expr:
    """The text of a conversation that is compared under `key`."""
    texts = {"prompt": prompt_text(), "response": response_text(reasoning=True)}
    return texts.get(key, conversation_text())


def first_differing_words(pairs: pl.DataFrame) -> pl.DataFrame:
    """`own_words` and `survivor_words` for the columns `text` and `survivor_text`: a few words from the first that differs.

    Case does not count. Both are null where no word differs; one that ends earlier has an empty text.
    """
    split = pairs.select(own=words(pl.col("text")), other=words(pl.col("survivor_text"))).with_row_index("pair")
    both = pl.min_horizontal(pl.col("own").list.len(), pl.col("other").list.len())
    aligned = split.select(
        "pair",
        own=pl.col("own").list.head(both),
        other=pl.col("other").list.head(both),
        place=pl.int_ranges(0, both, dtype=pl.Int64),
    ).explode("own", "other", "place", empty_as_null=False)
    differ = aligned.filter(pl.col("own").str.to_lowercase() != pl.col("other").str.to_lowercase())
    first = differ.group_by("pair").agg(place=pl.col("place").min())
    at = pl.coalesce("place", pl.when(pl.col("own").list.len() != pl.col("other").list.len()).then(both.cast(pl.Int64)))
    shown = split.join(first, on="pair", how="left", maintain_order="left").with_columns(at=at)
    return shown.select(own_words=_from("own"), survivor_words=_from("other"))


def _from(column: str) -> pl.Expr:
    return pl.when(pl.col("at").is_not_null()).then(pl.col(column).list.slice(pl.col("at"), SHOWN).list.join(" "))
