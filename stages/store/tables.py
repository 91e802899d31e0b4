"""Writes tables in their one canonical form: sorted by key, in parts of equal rows, checked against their schema.

Two tables with the same rows have the same bytes, in whatever order, batches or processes the rows were made.
"""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from stages.errors import DataError
from stages.schema import Schema, check_table, conform
from stages.store.piles import Piles, take

BATCH_ROWS = 50_000  # read at once while rows are divided into parts
PART_ROWS = 100_000  # bounds the memory of writing and checking one part
PART_BYTES = 1 << 25  # the same where rows are long, and their length is known


def read_table(folder: Path) -> pl.LazyFrame:
    """All parts of a sealed table, lazily, in key order. Raises DataError where none is there."""
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:  # an empty table has one too; a run may outlive its results
        raise DataError(f"{folder} holds no part of a table; run the stage that made it again")
    return pl.scan_parquet(parts, glob=False)


def write_table(spool: pl.LazyFrame, schema: Schema, folder: Path) -> dict[str, int]:
    """Writes `spool`'s rows in canonical form into `folder`; returns rows per part name.

    `spool` is read twice, so it should scan files. Raises DataError when a row breaks the schema or a key stands twice.
    """
    keys = spool.select(schema.key[0]).collect().to_series()
    cuts = cuts_of(keys)
    in_order = keys.is_sorted()  # most stages leave rows as they met them, and a million need not be divided then
    ranges = _in_order(spool, keys, cuts) if in_order else _divided(spool, cuts, folder)
    return write_parts(ranges, schema, folder)


def cuts_of(keys: pl.Series, sizes: pl.Series | None = None) -> pl.Series:
    """The first key of each part but the first, given the keys of all rows, and their bytes where somebody knows them."""
    if sizes is None:
        return keys.sort(nulls_last=False).gather_every(PART_ROWS).unique(maintain_order=True)[1:]
    order = keys.arg_sort(nulls_last=False)
    before = sizes.gather(order).cum_sum() - sizes.gather(order)
    starts, start = list[int](), 0
    while start < len(keys):
        starts.append(start)
        start = min(start + PART_ROWS, max(start + 1, int(before.search_sorted(before[start] + PART_BYTES))))
    return keys.gather(order).gather(starts).unique(maintain_order=True)[1:]


def write_parts(ranges: Iterable[pl.DataFrame], schema: Schema, folder: Path, *, at_once: int = 1) -> dict[str, int]:
    """Writes rows that come divided at their cuts, in whichever order within a range, as `write_table` does; `at_once`
    parts are held and written at a time."""
    parts: dict[str, int] = {}
    last: Any = None
    for name, written in _written(ranges, schema, folder, at_once):
        _refuse_wrong_range(written, last, str(folder.name))
        last = written.last_key if written.rows else last
        parts[name] = written.rows
    return parts or write_parts([schema.empty()], schema, folder)


class _Part(NamedTuple):
    rows: int
    first_key: Any
    last_key: Any


def _written(ranges: Iterable[pl.DataFrame], schema: Schema, folder: Path, at_once: int) -> Iterator[tuple[str, _Part]]:
    """Each part with its name, in order."""
    waiting: deque[tuple[str, Future[_Part]]] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        for number, rows in enumerate(ranges):
            name = f"part-{number:05d}.parquet"
            waiting.append((name, threads.submit(_write_part, rows, schema, folder / name)))
            if len(waiting) >= at_once:
                name, future = waiting.popleft()
                yield name, future.result()
        yield from ((name, future.result()) for name, future in waiting)


def _write_part(rows: pl.DataFrame, schema: Schema, path: Path) -> _Part:
    part = rows.sort(schema.key, nulls_last=False)
    _refuse_doubled_keys(part, schema, path.parent.name)
    check_table(part, schema, path.parent.name)
    part.write_parquet(path, compression="zstd", compression_level=1, row_group_size=PART_ROWS // 4)
    keys = part[schema.key[0]]
    return _Part(part.height, *(keys[0], keys[-1]) if part.height else (None, None))


def _in_order(spool: pl.LazyFrame, keys: pl.Series, cuts: pl.Series) -> Iterator[pl.DataFrame]:
    """What `_divided` gives, where rows lie in the order of their keys already."""
    edges = [0, *keys.search_sorted(cuts, side="left").to_list(), len(keys)]
    for first, end in pairwise(edges):
        yield spool.slice(first, end - first).collect()


def _divided(spool: pl.LazyFrame, cuts: pl.Series, folder: Path) -> Iterator[pl.DataFrame]:
    """The rows below the first cut, then those from each cut up to the next, in one pass over `spool`."""
    if cuts.is_empty():
        yield spool.collect()
        return
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".parts-") as made:
        piles = Piles.make(Path(made), cuts)
        for number, rows in enumerate(spool.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)):
            piles.add(rows, f"{number:06d}")
        yield from take(piles.folder)


def _refuse_wrong_range(part: _Part, last: Any, where: str) -> None:
    """What a job divided is held to the order that every reader counts on."""
    if part.rows and last is not None and not part.first_key > last:
        raise DataError(f"{where}: a part starts at {part.first_key}, which is not behind {last}, where the one before ends; "
                        f"this is a fault of the stage: report it")  # fmt: skip


def _refuse_doubled_keys(part: pl.DataFrame, schema: Schema, where: str) -> None:
    doubled = part.select(schema.key).filter(pl.struct(schema.key).is_duplicated())
    if doubled.height:
        named = ", ".join(map(str, doubled.unique(maintain_order=True).head(3).rows()))
        raise DataError(
            f"{where}: {doubled.height:,} rows share their key ({', '.join(schema.key)}; first: {named}); "
            f"every row of {schema.name} needs a key of its own"
        )


def read_given(path: Path, schema: Schema) -> pl.LazyFrame:
    """A table that somebody gives by hand, a JSONL or Parquet file or a folder of Parquet files, shaped to its schema."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"{path}: holds no manifest.json and no Parquet file; give a dataset folder, a .parquet or a .jsonl file"
        )
    try:
        given = pl.scan_parquet(files, glob=False) if files[0].suffix == ".parquet" else _scan_jsonl(path, schema)
        return conform(given, schema, str(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as {schema.name}: {str(error).splitlines()[0]}; give JSONL or Parquet"
        ) from error


def _scan_jsonl(path: Path, schema: Schema) -> pl.LazyFrame:
    if path.suffix not in (".jsonl", ".ndjson"):
        raise DataError(f"{path}: not a table; give a dataset folder, a .parquet or a .jsonl file")
    if not path.stat().st_size:
        return schema.empty().lazy()
    # All rows decide the types: a column that is null in the first thousand is still a column.
    with path.open("rb") as file:  # a path with brackets in it would be taken for a pattern
        return pl.read_ndjson(file, infer_schema_length=None).lazy()
