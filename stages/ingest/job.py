"""Reads every raw file, several at a time, and gives the rows their identity."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stages.contract import Workbench
from stages.engine import worker_pool
from stages.errors import DataError, TryAgain
from stages.ingest.content_id import row_ids
from stages.ingest.stage import IngestParams
from stages.ingest.transform import Ingested, transform
from stages.records import BrokenRecord, Record, read_records
from stages.source_files import SourceFile

AnyRecord = Record | BrokenRecord

SHOWN = 5
MAX_BATCH_BYTES = 1 << 25
MIN_BYTES_TO_SHARE = 1 << 26  # below this, starting processes takes about as long as the work


class Reading(NamedTuple):
    """One file to be read, and where what it holds is left."""

    number: int
    file: SourceFile
    parts: Path
    params: IngestParams


class Tally(NamedTuple):
    """What was read of a file, or of a part of it."""

    records: int
    dialects: Counter[str]


def run(
    raw: list[SourceFile], *, conversations: Path, quarantined: Path, params: IngestParams, workbench: Workbench
) -> dict[str, object]:
    """Conversations of all files, and the records and files that hold none; returns counts.

    Raises DataError when there is nothing to read, when not one conversation comes out, or when a record is in
    neither output.
    """
    files = sorted(raw, key=lambda file: (file.source, file.name))
    _refuse_unusable_list(files)
    parts = workbench.scratch / "parts"
    shutil.rmtree(parts, ignore_errors=True)
    for folder in (parts / "conversations", parts / "quarantined"):
        folder.mkdir(parents=True)
    tally = Tally(0, Counter())
    readings = [Reading(number, file, parts, params) for number, file in enumerate(files)]
    for part in _read_all(readings, workbench.workers):
        tally = Tally(tally.records + part.records, tally.dialects + part.dialects)
        workbench.progress(tally.records, None, "records", files=len(files))
    repairs = _write_conversations(sorted((parts / "conversations").iterdir()), conversations)
    reasons = _write_quarantined(sorted((parts / "quarantined").iterdir()), quarantined)
    if not any(conversations.iterdir()):
        raise DataError(_full_quarantine(tally.records, len(files), reasons, quarantined))
    return {"files": len(files), "records_read": tally.records, "dialects": _ranked(tally.dialects),
            "repairs": _ranked(repairs), "reasons": _ranked(reasons)}  # fmt: skip


def _refuse_unusable_list(files: Sequence[SourceFile]) -> None:
    if not files:
        raise DataError(
            "raw: the source holds no file; give a folder or file with JSON, JSONL, CSV, Parquet or plain text"
        )
    names = Counter((file.source, file.name) for file in files)
    if doubled := [f"{source}: {name}" for (source, name), count in names.items() if count > 1]:
        raise DataError(
            f"raw: {len(doubled)} files share their source and name with another (first: {', '.join(doubled[:SHOWN])}); "
            f"rename the folders that hold them, or put them under one folder"
        )


def _read_all(readings: Sequence[Reading], workers: int) -> Iterator[Tally]:
    if workers <= 1 or len(readings) <= 1 or sum(map(_size, readings)) < MIN_BYTES_TO_SHARE:
        for reading in readings:
            yield from read_file(reading)
        return
    largest_first = sorted(readings, key=_size, reverse=True)
    with worker_pool(min(workers, len(readings))) as pool:
        try:
            for future in as_completed([pool.submit(read_whole_file, reading) for reading in largest_first]):
                yield future.result()
        except BrokenProcessPool as error:
            raise TryAgain(
                f"ingest: a process that read one of {len(readings)} files died, probably killed for memory; "
                f"run again with fewer workers or a smaller max_record_bytes"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _size(reading: Reading) -> int:
    try:
        return reading.file.path.lstat().st_size
    except OSError:  # reading it will say so
        return 0


def read_whole_file(reading: Reading) -> Tally:
    """What `read_file` counts, all together."""
    records, dialects = 0, Counter[str]()
    for part in read_file(reading):
        records += part.records
        dialects += part.dialects
    return Tally(records, dialects)


def read_file(reading: Reading) -> Iterator[Tally]:
    """Leaves the tables of a file below `parts`, one batch of records after the other."""
    file, params = reading.file, reading.params
    records = read_records(file, max_record_bytes=params.max_record_bytes, text_chars=params.text_chars)
    for number, batch in enumerate(_batches(records, params.batch_records)):
        made = transform(batch, file=file, params=params)
        _refuse_lost_records(batch, made, file)
        part = f"{reading.number:06d}-{number:06d}.arrow"
        for name, table in (("conversations", made.conversations), ("quarantined", made.quarantined)):
            if table.height:
                table.write_ipc(reading.parts / name / part, compression="lz4")
        yield Tally(len(batch), made.dialects)


def _batches(records: Iterable[AnyRecord], max_records: int) -> Iterator[list[AnyRecord]]:
    """Neighbouring records, few enough and short enough to be held in memory."""
    batch: list[AnyRecord] = []
    for record in records:
        batch.append(record)
        if len(batch) >= max_records or record.byte_offset - batch[0].byte_offset > MAX_BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _refuse_lost_records(batch: Sequence[AnyRecord], made: Ingested, file: SourceFile) -> None:
    found = {*made.conversations["record"], *made.quarantined["record"]}
    if lost := sorted(str(record.index) for record in batch if record.index not in found):
        raise DataError(
            f"{file.source}: {file.name}: {len(lost)} of {len(batch)} records are neither in conversations nor in quarantined "
            f"(first: {', '.join(lost[:SHOWN])}); this is a fault of ingest: report it with the record"
        )


def _write_conversations(parts: Sequence[Path], folder: Path) -> Counter[str]:
    """Adds `row_id`, which takes all rows together; returns how often each repair was made.

    Parts lie in the order of source, file and record, so equal rows of a source are numbered in that order.
    """
    if not parts:
        return Counter()
    keys = pl.concat([pl.read_ipc(part, columns=["source", "content_id"]) for part in parts])
    occurrence = keys.select(pl.int_range(pl.len()).over("source", "content_id")).to_series()
    ids = pl.Series("row_id", row_ids(keys["source"], keys["content_id"], occurrence), dtype=pl.String)
    repairs: Counter[str] = Counter()
    first = 0
    for part in parts:
        rows = pl.read_ipc(part)
        rows.insert_column(0, ids.slice(first, rows.height)).write_parquet(
            folder / f"{part.stem}.parquet", compression="lz4"
        )
        repairs += _counts(rows["repairs"].explode().drop_nulls())
        first += rows.height
    return repairs


def _write_quarantined(parts: Sequence[Path], folder: Path) -> Counter[str]:
    """Returns how often each reason stands in the rows."""
    reasons: Counter[str] = Counter()
    for part in parts:
        rows = pl.read_ipc(part)
        rows.write_parquet(folder / f"{part.stem}.parquet", compression="lz4")
        reasons += _counts(rows["reason"])
    return reasons


def _counts(names: pl.Series) -> Counter[str]:
    return Counter(dict(names.value_counts().rows()))


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _full_quarantine(records: int, files: int, reasons: Counter[str], quarantined: Path) -> str:
    first = pl.read_parquet(min(quarantined.iterdir())).row(0, named=True)
    where = "the whole file" if first["record"] is None else f"record {first['record']}"
    return (
        f"raw: not one conversation in {records:,} records of {files:,} files: "
        + ", ".join(f"{reason} {count:,}" for reason, count in list(_ranked(reasons).items())[:SHOWN])
        + f" (first: {first['source']}: {first['file']}, {where}: {first['reason']}, field {first['field']}, "
        f"found {first['found']}, expected {first['expected']}); {first['fix']}"
    )
