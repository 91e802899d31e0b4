"""What a `rows` stage made of a row before, it need not make again: a refresh costs what is new.

A `rows` stage makes of each row the same, whatever rows stand beside it, as any batch size gives the same bytes. So what
an earlier result of the same code, values and libraries says about a row stands for the same row in other company.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import polars as pl

from stages.contract import Stage
from stages.errors import DataError
from stages.schema import load_schema
from stages.store.storage import LocalStore, digest_of, read_json, verify_dataset
from stages.store.tables import read_table

LEAST_SHARED = 0.5  # of the rows; of fewer, looking for them costs as much as it saves
BLOCK_ROWS = 1024  # between two ids of a table that are kept in memory
HASH_SEEDS = (1, 2)  # 128 bits together


class Earlier(NamedTuple):
    """An earlier result of a stage, and the table that it was made of."""

    rows: Path
    folder: Path

    @classmethod
    def found(cls, store: LocalStore, stage: Stage, parts: Mapping[str, Any], rows: Path) -> Self | None:
        """The newest result whose key differs from that of `parts` in what the stage reads alone.

        None where it has too few of `rows`, or a byte of it is not as it was.
        """
        for path in reversed(store.receipts()):
            if path.parent.parent.name != stage.name:
                continue
            try:
                receipt = read_json(path)
                if digest_of({**receipt["key_parts"], "inputs": parts["inputs"]}) == digest_of(parts):
                    return cls._of(path.parent, receipt, stage, rows)
            except (DataError, OSError, KeyError, TypeError):
                return None
        return None

    @classmethod
    def _of(cls, folder: Path, receipt: Mapping[str, Any], stage: Stage, rows: Path) -> Self | None:
        read, made = receipt["inputs"][stage.inputs[0]], receipt["outputs"]
        then, tables = Path(*read["paths"]), [name for name in made if load_schema(name).kind == "table"]
        stated = [(then, read["digest"]), *((folder / name, made[name]["digest"]) for name in tables)]
        if any(verify_dataset(table).digest != digest for table, digest in stated):
            return None
        return cls(then, folder) if _shared_share(rows, then) >= LEAST_SHARED else None

    def beside(
        self, rows: pl.DataFrame, make: Callable[[pl.DataFrame], Mapping[str, pl.DataFrame]]
    ) -> dict[str, pl.DataFrame]:
        """What `make` makes of `rows`, called for those alone that were not the same before."""
        known = _same(rows, _near(self.rows, rows))
        made = make(rows.filter(~rows["row_id"].is_in(known.implode())))
        return {
            name: pl.concat(
                [table, _near(self.folder / name, rows).filter(pl.col("row_id").is_in(known.implode()))]
            ).sort(load_schema(name).key)
            for name, table in made.items()
        }


def _near(folder: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """What a table says of the ids from the first of these rows to the last; rows lie in the order of their ids."""
    table, (first, last) = read_table(folder), rows["row_id"].gather([0, -1]) if rows.height else ("", "")
    starts, ends = _blocks(folder)
    start = BLOCK_ROWS * int(ends.search_sorted(first, side="left"))  # the first block that does not end before
    stop = BLOCK_ROWS * int(starts.search_sorted(last, side="right"))
    ids = table.select("row_id").slice(start, stop - start).collect()["row_id"]
    skipped, end = ids.search_sorted(first, side="left"), ids.search_sorted(last, side="right")
    return table.slice(start + int(skipped), int(end) - int(skipped)).collect()


@cache
def _blocks(folder: Path) -> tuple[pl.Series, pl.Series]:
    """The first id of each BLOCK_ROWS rows of a table, and the last."""
    ids = read_table(folder).select("row_id").collect()["row_id"]
    starts = ids.gather_every(BLOCK_ROWS)
    return starts, pl.concat([ids.gather_every(BLOCK_ROWS, BLOCK_ROWS - 1), ids.tail(1)])[: len(starts)]


def _shared_share(now: Path, then: Path) -> float:
    """The share of the rows of `now` of which the id is in `then`."""
    ids = read_table(now).select("row_id").collect()
    shared = ids.lazy().join(read_table(then).select("row_id"), on="row_id", how="semi").collect()
    return shared.height / max(ids.height, 1)


def _same(now: pl.DataFrame, then: pl.DataFrame) -> pl.Series:
    """The ids of rows that are in both with equal values in every column."""
    hashed = [
        rows.select("row_id", *(rows.hash_rows(seed).alias(f"hash {seed}") for seed in HASH_SEEDS))
        for rows in (now, then.select(now.columns))
    ]
    return hashed[0].join(hashed[1], on=hashed[0].columns, how="semi")["row_id"]
