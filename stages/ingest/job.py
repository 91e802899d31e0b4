"""Reads every raw file that was not read before, and gives the rows of all files their identity."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from stages.contract import Workbench
from stages.errors import DataError
from stages.ingest.batches import with_batches
from stages.ingest.finish import write_rows
from stages.ingest.parts import Kept, Parsed, result_params
from stages.ingest.reading import read_files
from stages.ingest.stage import IngestParams
from stages.ingest.templates import load as load_templates
from stages.processes.engine import Workers, worker_pool
from stages.raw_files.source_files import SourceFile

SHOWN = 5


def run(
    raw: list[SourceFile], *, conversations: Path, quarantined: Path, params: IngestParams, workbench: Workbench
) -> dict[str, object]:
    """Conversations of all files, and the records and files that hold none; returns counts.

    A file whose bytes were read before, under the same parameters, is not read again. Raises DataError when there is
    nothing to read, or when not one conversation comes out.
    """
    files = sorted(raw, key=lambda file: (file.source, file.name))
    _refuse_unusable_list(files)
    if params.templates:
        load_templates(params.templates)  # so that a fault in them is told before anything is read
    with _workers(workbench.workers) as workers:
        read, reused = _read(files, params, workbench, workers)
        parsed = with_batches([(file, read[file]) for file in files], workbench.scratch / "batches", params)
        write_rows(parsed, conversations, quarantined, workers)
    parts = [part for _, of_file in parsed for part in of_file.parts]
    repairs, reasons, dialects = (
        sum((Counter(counts) for counts in every), Counter[str]())
        for every in ([p.repairs for p in parts], [p.reasons for p in parts], [p.dialects for p in parts])
    )
    records = sum(part.records for part in parts)
    if not any(part.rows for part in parts):
        raise DataError(_full_quarantine(records, len(files), reasons, quarantined))
    weights, unread = _weights(parsed), _unread(parsed)
    told = [_told(source, **span) for source, span in weights.items()]
    told += [_told_unread(source, fields) for source, fields in unread.items()]
    return {"files": len(files), "files_parsed": len(files) - reused, "files_reused": reused, "records_read": records,
            "dialects": _ranked(dialects), "repairs": _ranked(repairs), "reasons": _ranked(reasons),
            "weights": weights, "unread": unread, "told": told}  # fmt: skip


@contextmanager
def _workers(count: int) -> Iterator[Workers | None]:
    """Those beside this process; None where it works alone."""
    if count <= 1:
        yield None
        return
    if_one_dies = (
        "ingest: a process that read files or wrote their rows died, probably killed for memory; "
        "run again with fewer workers or a smaller max_record_bytes"
    )
    with worker_pool(count - 1, if_one_dies) as pool:
        yield Workers(pool, count - 1)


def _read(
    files: Sequence[SourceFile], params: IngestParams, workbench: Workbench, workers: Workers | None
) -> tuple[dict[SourceFile, Parsed], int]:
    """What each file holds, and how many files were not read again."""
    kept = Kept(workbench.cache, result_params(params))
    read = {file: parsed for file in files if (parsed := kept.find(file))}
    reused = len(read)
    records = sum(part.records for parsed in read.values() for part in parsed.parts)
    left = [file for file in files if file not in read]
    for step in read_files(left, workbench.scratch / "parts", params, workers):
        records += sum(part.records for part in step.parts)
        workbench.progress(records, None, "records", files=len(files))
        if step.whole:
            file, parsed = step.whole
            read[file] = kept.keep(file, parsed)
    return read, reused


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


def _weights(parsed: Sequence[tuple[SourceFile, Parsed]]) -> dict[str, dict[str, float]]:
    """For each source with rows that say what they weigh in the loss: how many, the least and the most of it."""
    spans: dict[str, list[tuple[int, float, float]]] = {}
    for file, of_file in parsed:
        spans.setdefault(file.source, []).extend(part.weights for part in of_file.parts if part.weights)
    return {
        source: {"rows": sum(rows), "min": min(least), "max": max(most)}
        for source, of_source in spans.items() if of_source
        for rows, least, most in [zip(*of_source, strict=True)]
    }  # fmt: skip


def _told(source: str, rows: float, min: float, max: float) -> str:
    return (
        f"{source}: {rows:,} rows weigh {min:g} to {max:g} in the loss by their field `weight`; if it measures something "
        f"else, rename it, or name the columns that are meant with the parameter `columns`"
    )


def _unread(parsed: Sequence[tuple[SourceFile, Parsed]]) -> dict[str, dict[str, int]]:
    """For each source, the fields with texts that no conversation holds, and in how many records each has one."""
    found: dict[str, Counter[str]] = {}
    for file, of_file in parsed:
        for part in of_file.parts:
            found.setdefault(file.source, Counter()).update(part.unread)
    return {source: _ranked(fields) for source, fields in found.items() if fields}


def _told_unread(source: str, fields: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} in {records:,}" for name, records in list(fields.items())[:SHOWN])
    more = f" and {len(fields) - SHOWN} more fields" if len(fields) > SHOWN else ""
    return (
        f"{source}: records have texts that no conversation holds, {shown}{more}; what belongs to the conversations can be "
        f"named with the parameter `columns` or shown by `templates`"
    )


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _full_quarantine(records: int, files: int, reasons: Counter[str], quarantined: Path) -> str:
    first = pl.read_parquet(min(quarantined.iterdir()), glob=False).row(0, named=True)
    where = "the whole file" if first["record"] is None else f"record {first['record']}"
    return (
        f"raw: not one conversation in {records:,} records of {files:,} files: "
        + ", ".join(f"{reason} {count:,}" for reason, count in list(_ranked(reasons).items())[:SHOWN])
        + f" (first: {first['source']}: {first['file']}, {where}: {first['reason']}, field {first['field']}, "
        f"found {first['found']}, expected {first['expected']}); {first['fix']}"
    )
