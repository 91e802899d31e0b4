"""Matches a corpus on many machines, with the outcome of matching it on one.

Rows that share a key come together in a shuffle. Rows that share none, directly or through others, have nothing to do
with each other, so each such part of the corpus is matched by itself, wherever there is room.
"""

from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl

from stages.dedup.comparison import Comparison
from stages.dedup.groups import connected
from stages.dedup.minhash import slices_of
from stages.dedup.survivors import Matches
from stages.processes.engine import Cluster
from stages.texts.word_bytes import Booleans, Ints

ROWS_AT_ONCE = 25_000  # whose keys are made in one task
SHARES_PER_WORKER = 4  # of keys, and of rows to match, as no two shares take equally long
LINKS = {"row": pl.Int64, "first": pl.Int64}


def match_apart(comparison: Comparison, rows: Booleans, cluster: Cluster) -> Matches:
    """What `comparison.match_among` finds among some rows, found by the workers of `cluster`."""
    corpus, shares = comparison.corpus, SHARES_PER_WORKER * cluster.workers
    chosen = np.flatnonzero(rows)
    by_page = chosen[np.argsort(corpus.sketch[chosen])]
    tasks = _shared_out(by_page, np.ones(len(chosen), dtype=np.int64), ROWS_AT_ONCE)
    links = cluster.grouped(tasks, partial(_keys, comparison, shares), "share", _links)
    linked = pl.concat([pl.DataFrame(schema=LINKS), *links])
    found = cluster.mapped(_parts(linked, corpus.rows, shares), partial(_matched, comparison))
    tables = [_as_table(Matches.none()), *found]
    return Matches(*(np.concatenate([table[0, name].to_numpy() for table in tables]) for name in Matches._fields))


def _shared_out(rows: Ints, costs: Ints, limit: int) -> pl.DataFrame:
    """Consecutive rows of about `limit` cost together, as lists."""
    return pl.DataFrame({"rows": [rows[part] for part in slices_of(costs, limit)]}, schema={"rows": pl.List(pl.Int64)})


def _keys(comparison: Comparison, shares: int, task: pl.DataFrame) -> pl.DataFrame:
    """share, key and row: every key of some rows."""
    keys, owners = comparison.shared_keys(np.sort(task["rows"][0].to_numpy()))
    return pl.DataFrame({"key": keys, "row": owners}).select((pl.col("key") % shares).alias("share"), "key", "row")


def _links(share: pl.DataFrame) -> pl.DataFrame:
    """Each row that shares a key with others, and the first of these."""
    shared = share.select("row", first=pl.col("row").min().over("key"))
    return shared.filter(pl.col("row") != pl.col("first")).unique()


def _parts(links: pl.DataFrame, rows: int, shares: int) -> pl.DataFrame:
    """The rows that are linked to others, in lists that no link leaves."""
    lowest = connected(rows, links["row"].to_numpy(), links["first"].to_numpy())
    size = np.bincount(lowest, minlength=rows)
    linked = np.flatnonzero(size[lowest] > 1)
    together = linked[np.argsort(lowest[linked], kind="stable")]
    firsts = np.flatnonzero(lowest[together] == together)
    cuts = slices_of(size[together[firsts]], max(1, len(together) // shares))
    edges = [*(firsts[cut][0] for cut in cuts), len(together)]
    return pl.DataFrame(
        {"rows": [together[first:end] for first, end in pairwise(edges)]},
        schema={"rows": pl.List(pl.Int64)},
    )


def _matched(comparison: Comparison, part: pl.DataFrame) -> pl.DataFrame:
    rows = np.zeros(comparison.corpus.rows, dtype=np.bool_)
    rows[part["rows"][0].to_numpy()] = True
    return _as_table(comparison.match_among(rows))


def _as_table(found: Matches) -> pl.DataFrame:
    """One row, with a list in each field."""
    return pl.DataFrame({name: pl.Series([pl.Series(values)]) for name, values in found._asdict().items()})
