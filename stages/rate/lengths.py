"""Takes length out of a rating, by ranking each answer among those of about its own length.

Perplexity falls with length and ifd rises with it, and both spread most where answers are short. So a residual over the
logarithm of length would still choose the shortest and the longest first; a rank within a group of equally long
answers has the same distribution at every length.
"""

import polars as pl

FEWEST_IN_A_GROUP = 20  # a rank among fewer says little


def length_rank(rating: str, length: str, bins: int, rated_rows: int) -> pl.Expr:
    """Share of the rows of about the same `length` whose `rating` is lower, equal ones half; null where it is null.

    Equally long answers are always in the same group, and groups are about equally large.
    """
    groups = max(1, min(bins, rated_rows // FEWEST_IN_A_GROUP))
    is_rated = pl.col(rating).is_not_null()
    place = pl.when(is_rated).then(pl.col(length)).rank("min")
    group = ((place - 1) * groups).floordiv(max(rated_rows, 1))
    rank = pl.col(rating).rank("average").over(group)
    return pl.when(is_rated).then((rank - 0.5) / is_rated.sum().over(group))
