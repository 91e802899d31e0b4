"""Gives the rows of all files their identity and their origin, which takes the whole source together."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.ingest.content_id import Words, hex_ids, row_masks, words_of
from stages.ingest.conversation_table import ID_WORDS, SIZE
from stages.ingest.parts import Parsed, Part
from stages.processes.engine import Workers, here_and_there
from stages.raw_files.source_files import SourceFile
from stages.schema import load_schema
from stages.store.piles import Piles
from stages.store.tables import cuts_of

ROWS_TOGETHER = 50_000
BYTES_TOGETHER = 1 << 25
MIN_ROWS_TO_SHARE = 500_000  # below this, starting processes, had nothing to be read, takes longer than the work

KNOWN = {**dict.fromkeys(ID_WORDS, pl.UInt64), SIZE: pl.Int64}  # columns of a part that take the whole source together

Numbers = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """The tables of one part, and what they lack."""

    part: Part
    folder: Path
    source: str
    file: str
    file_sha256: str | None
    first_record: int
    row_ids: Words
    sizes: Numbers  # bytes of each row


class Finishing(NamedTuple):
    """Some neighbouring parts, and the outputs that they go to."""

    number: int
    rows: list[Rows]
    conversations: Piles
    quarantined: Path


def write_rows(
    read: Sequence[tuple[SourceFile, Parsed]], conversations: Path, quarantined: Path, workers: Workers | None
) -> None:
    """Writes the rows of all files, which come in order of source and name, into two folders: conversations divided
    where the parts of their table will be, what was set aside as Parquet files."""
    rows = list(_all_rows(read))
    total = sum(len(one.row_ids) for one in rows)
    first_words, sizes = (
        pl.concat(map(pl.Series, of_all)) for of_all in ([r.row_ids[:, 0] for r in rows], [r.sizes for r in rows])
    )
    piles = Piles.make(conversations, hex_ids(cuts_of(first_words, sizes).to_numpy(), "row_id"))
    finishings = [Finishing(n, together, piles, quarantined) for n, together in enumerate(_together(rows))]
    if workers and total >= MIN_ROWS_TO_SHARE:
        for _ in here_and_there(workers, ((finishing,) for finishing in finishings), finish):
            pass
    else:
        for finishing in finishings:
            finish(finishing)


def _all_rows(read: Sequence[tuple[SourceFile, Parsed]]) -> Iterator[Rows]:
    by_source: dict[str, list[tuple[SourceFile, Parsed]]] = {}
    for file, parsed in read:
        by_source.setdefault(file.source, []).append((file, parsed))
    for source, of_source in by_source.items():
        parts = [(parsed.folder, part) for _, parsed in of_source for part in parsed.parts]
        row_ids = iter(_row_ids(source, parts))
        for file, parsed in of_source:
            firsts = accumulate((part.records for part in parsed.parts), initial=0)
            for part, first in zip(parsed.parts, firsts, strict=False):
                origin = (source, file.name, file.sha256 or None)
                yield Rows(part, parsed.folder, *origin, first, *next(row_ids))


def _row_ids(source: str, parts: Sequence[tuple[Path, Part]]) -> list[tuple[Words, Numbers]]:
    """For each part of a source, the ids of its rows and their bytes."""
    paths = [part.path(folder, "conversations") if part.rows else None for folder, part in parts]
    ends = np.cumsum([part.rows for _, part in parts])[:-1]
    read = [path for path in paths if path]
    every = _read(read, list(KNOWN)) if read else pl.DataFrame(schema=KNOWN)
    content = words_of(every, ID_WORDS)
    made = content ^ row_masks(source, [0])
    repeated = _repeated(every, paths, ends)
    if repeated.height:
        numbers, which = np.unique(repeated["occurrence"].to_numpy(), return_inverse=True)
        rows = repeated["row"].to_numpy()
        made[rows] = content[rows] ^ row_masks(source, numbers)[which]
    return list(zip(np.split(made, ends), np.split(every[SIZE].to_numpy(), ends), strict=True))


def _repeated(every: pl.DataFrame, parts: Sequence[Path | None], ends: Numbers) -> pl.DataFrame:
    """The rows whose conversation stood before in these parts, and how often."""
    doubled = (
        every.with_row_index("row")
        .filter(pl.col(ID_WORDS[0]).is_duplicated())
        .filter(pl.struct(ID_WORDS).is_duplicated())
    )
    at = doubled["row"].to_numpy()
    part_of = np.searchsorted(ends, at, side="right")
    records = np.empty(len(at), dtype=np.int64)
    for number in np.unique(part_of):
        chosen, path = part_of == number, parts[number]
        if path:
            first = ends[number - 1] if number else 0
            records[chosen] = (
                pl.scan_ipc(path, glob=False).select("record").collect()["record"].to_numpy()[at[chosen] - first]
            )
    return (
        doubled.with_columns(part=pl.Series(part_of), record=pl.Series(records))
        .sort("part", "record", "row")
        .select("row", occurrence=pl.int_range(pl.len()).over(ID_WORDS))
        .filter(pl.col("occurrence") > 0)
    )


def _together(rows: Iterable[Rows]) -> Iterator[list[Rows]]:
    gathered: list[Rows] = []
    count, size = 0, 0
    for one in rows:
        gathered.append(one)
        count += one.part.rows + sum(one.part.reasons.values())
        size += int(one.sizes.sum())
        if count >= ROWS_TOGETHER or size >= BYTES_TOGETHER:
            yield gathered
            gathered, count, size = [], 0, 0
    if gathered:
        yield gathered


def finish(finishing: Finishing) -> None:
    """Writes the rows of some parts, in whichever process."""
    name = f"{finishing.number:06d}"
    if conversations := [rows for rows in finishing.rows if rows.part.rows]:
        table = _with_origin("conversations", conversations, [rows.part.rows for rows in conversations])
        content = hex_ids(words_of(table, ID_WORDS), "content_id")
        row_ids = hex_ids(np.concatenate([rows.row_ids for rows in conversations]), "row_id")
        finishing.conversations.add(_in_order(table.with_columns(row_ids, content), "conversations"), name)
    if quarantined := [rows for rows in finishing.rows if rows.part.reasons]:
        table = _with_origin("quarantined", quarantined, [sum(rows.part.reasons.values()) for rows in quarantined])
        path = finishing.quarantined / f"{name}.parquet"
        _in_order(table, "quarantined").write_parquet(path, compression="uncompressed")


def _with_origin(name: str, rows: Sequence[Rows], heights: Sequence[int]) -> pl.DataFrame:
    """The tables of that name of some parts together, each row with the file that it comes from."""
    table = _read([one.part.path(one.folder, name) for one in rows])
    origins = pl.DataFrame(
        [one[2:6] for one in rows],
        schema={"source": pl.String, "file": pl.String, "file_sha256": pl.String, "record": pl.Int64},
        orient="row",
    )[np.repeat(np.arange(len(rows)), heights)]
    return table.with_columns(origins["record"] + table["record"], *origins.drop("record"))


def _read(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Tables one below the other; of many files each costs a quarter of what it costs alone."""
    scanned = pl.scan_ipc(list(paths), glob=False)
    return (scanned.select(columns) if columns else scanned).collect()


def _in_order(table: pl.DataFrame, name: str) -> pl.DataFrame:
    return table.select(list(load_schema(name).dtypes))
