"""Gives the rows of all files their identity and their origin, which takes the whole source together."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.engine import worker_pool
from stages.ingest.content_id import hex_ids, row_masks, words_of
from stages.ingest.conversation_table import ID_WORDS
from stages.ingest.parts import Parsed, Part
from stages.schema import load_schema
from stages.source_files import SourceFile

ROWS_TOGETHER = 50_000
MIN_ROWS_TO_SHARE = 1_000_000  # below this, starting processes takes longer than the work

Numbers = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """The tables of one part, and what they lack."""

    part: Part
    folder: Path
    source: str
    file: str
    file_sha256: str | None
    first_record: int
    repeated: Numbers  # rows whose conversation stands in the source already
    occurrences: Numbers  # how often it did, for each of `repeated`


class Finishing(NamedTuple):
    """Some neighbouring parts, and the outputs that they go to."""

    number: int
    rows: list[Rows]
    conversations: Path
    quarantined: Path


def write_rows(read: Sequence[tuple[SourceFile, Parsed]], conversations: Path, quarantined: Path, workers: int) -> None:
    """Writes the rows of all files, which come in order of source and name, as Parquet files into two folders."""
    finishings = [Finishing(n, rows, conversations, quarantined) for n, rows in enumerate(_together(_all_rows(read)))]
    total = sum(rows.part.rows for finishing in finishings for rows in finishing.rows)
    if workers <= 1 or total < MIN_ROWS_TO_SHARE:
        for finishing in finishings:
            finish(finishing)
        return
    if_one_dies = "ingest: a process that wrote rows died, probably killed for memory; run again with fewer workers"
    with worker_pool(min(workers, len(finishings)), if_one_dies) as pool:
        for future in as_completed([pool.submit(finish, finishing) for finishing in finishings]):
            future.result()


def _all_rows(read: Sequence[tuple[SourceFile, Parsed]]) -> Iterator[Rows]:
    by_source: dict[str, list[tuple[SourceFile, Parsed]]] = {}
    for file, parsed in read:
        by_source.setdefault(file.source, []).append((file, parsed))
    for source, of_source in by_source.items():
        parts = [(parsed.folder, part) for _, parsed in of_source for part in parsed.parts]
        repeated = iter(
            _repeated([part.path(folder, "conversations") if part.rows else None for folder, part in parts])
        )
        for file, parsed in of_source:
            firsts = accumulate((part.records for part in parsed.parts), initial=0)
            for part, first in zip(parsed.parts, firsts, strict=False):
                origin = (_utf8(source), _utf8(file.name), file.sha256 or None)
                yield Rows(part, parsed.folder, *origin, first, *next(repeated))


def _repeated(parts: Sequence[Path | None]) -> list[tuple[Numbers, Numbers]]:
    """For each part, the rows whose conversation stood before in these parts, and how often."""
    ids = [pl.read_ipc(part, columns=list(ID_WORDS)) if part else pl.DataFrame() for part in parts]
    ends = np.cumsum([0, *(table.height for table in ids)])
    none = np.empty(0, dtype=np.int64)
    if not ends[-1]:
        return [(none, none)] * len(parts)
    every = pl.concat([table for table in ids if table.height]).with_row_index("row")
    doubled = every.filter(pl.col(ID_WORDS[0]).is_duplicated()).filter(pl.struct(ID_WORDS).is_duplicated())
    at = doubled["row"].to_numpy()
    part_of = np.searchsorted(ends, at, side="right") - 1
    records = np.empty(len(at), dtype=np.int64)
    for number in np.unique(part_of):
        chosen = part_of == number
        path = parts[number]
        if path:
            records[chosen] = pl.read_ipc(path, columns=["record"])["record"].to_numpy()[at[chosen] - ends[number]]
    later = (
        doubled.with_columns(part=pl.Series(part_of), record=pl.Series(records))
        .sort("part", "record", "row")
        .with_columns(occurrence=pl.int_range(pl.len()).over(ID_WORDS))
        .filter(pl.col("occurrence") > 0)
    )
    by_part = {key[0]: rows for key, rows in later.partition_by("part", as_dict=True).items()}
    return [
        (rows["row"].to_numpy() - ends[number], rows["occurrence"].to_numpy()) if (rows := by_part.get(number)) is not None
        else (none, none)
        for number in range(len(parts))
    ]  # fmt: skip


def _utf8(name: str) -> str:
    """File names need not be UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def _together(rows: Iterator[Rows]) -> Iterator[list[Rows]]:
    gathered: list[Rows] = []
    count = 0
    for one in rows:
        gathered.append(one)
        count += one.part.rows + sum(one.part.reasons.values())
        if count >= ROWS_TOGETHER:
            yield gathered
            gathered, count = [], 0
    if gathered:
        yield gathered


def finish(finishing: Finishing) -> None:
    """Writes one Parquet file for each output that has rows, in whichever process."""
    made: Mapping[str, tuple[Path, Any]] = {
        "conversations": (finishing.conversations, _with_ids),
        "quarantined": (finishing.quarantined, _with_origin),
    }
    for name, (folder, completed) in made.items():
        paths = [(rows, rows.part.path(rows.folder, name)) for rows in finishing.rows]
        tables = [completed(pl.read_ipc(path), rows) for rows, path in paths if path.name in rows.part.digests]
        if tables:
            columns = list(load_schema(name).dtypes)
            table = pl.concat(tables).select(columns)
            table.write_parquet(
                folder / f"{finishing.number:06d}.parquet", compression="uncompressed", statistics=False
            )


def _with_ids(table: pl.DataFrame, rows: Rows) -> pl.DataFrame:
    content = words_of(table, ID_WORDS)
    ids = content ^ row_masks(rows.source, [0])
    if len(rows.repeated):
        numbers, which = np.unique(rows.occurrences, return_inverse=True)
        ids[rows.repeated] = content[rows.repeated] ^ row_masks(rows.source, numbers)[which]
    named = table.with_columns(hex_ids(ids, "row_id"), hex_ids(content, "content_id"))
    return _with_origin(named.drop(ID_WORDS), rows)


def _with_origin(table: pl.DataFrame, rows: Rows) -> pl.DataFrame:
    return table.with_columns(
        pl.lit(rows.source).alias("source"),
        pl.lit(rows.file).alias("file"),
        pl.lit(rows.file_sha256, dtype=pl.String).alias("file_sha256"),
        pl.col("record") + rows.first_record,
    )
