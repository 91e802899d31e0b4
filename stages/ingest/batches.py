"""Batches of requests to a model's server, whose answers stand in another file: joined by `custom_id` within a folder.

Each file is read by itself and keeps what is half of an exchange, so that a file that did not change need not be read again;
the halves of all files of a folder are put together in every run. A half whose other one is nowhere is set aside.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from stages.ingest.parts import HALVES, Parsed, write_part
from stages.ingest.stage import IngestParams
from stages.ingest.transform import Ingested, Transform
from stages.ingest.unusable import ADVICE, shown
from stages.raw_files.json_repairs import Mended
from stages.raw_files.repair_names import FileRepair
from stages.raw_files.source_files import SourceFile

Read = tuple[SourceFile, Parsed]
JOINED_TOGETHER = 1_000  # whose values are in memory at once

IS_ANSWER = pl.col("reason") == "answer_alone"
ANSWERS, REQUESTS = IS_ANSWER.sum().over("custom_id"), IS_ANSWER.not_().sum().over("custom_id")


def with_batches(read: Sequence[Read], scratch: Path, params: IngestParams) -> list[Read]:
    """What was read, and behind each file with halves of exchanges what became of them; parts are left below `scratch`.

    An exchange is that of the record with its answer; a joined request counts as part of it.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    made: dict[int, Parsed] = {}
    for numbers in _folders(read):
        halves = pl.concat([_halves(number, read[number][1]) for number in numbers]).with_row_index("row")
        decided = _decided(halves)
        for number in numbers:
            folder = scratch / f"{number:06d}"
            folder.mkdir(parents=True)
            transform = Transform(params, read[number][0])
            tables = _tables(decided.filter(pl.col("number") == number), halves, transform)
            made[number] = Parsed(folder, tuple(write_part(folder, n, table) for n, table in enumerate(tables)))
    return [
        one
        for number, (file, parsed) in enumerate(read)
        for one in [(file, parsed), *([(file, made[number])] if number in made else [])]
    ]


def _folders(read: Sequence[Read]) -> list[list[int]]:
    """The numbers of the files with halves, those of one folder together."""
    folders: dict[tuple[str, PurePosixPath], list[int]] = defaultdict(list)
    for number, (file, parsed) in enumerate(read):
        if any(part.halves for part in parsed.parts):
            folders[file.source, PurePosixPath(file.name).parent].append(number)
    return list(folders.values())


def _halves(number: int, parsed: Parsed) -> pl.DataFrame:
    """Those of one file, `record` counted from its first one. The values stay on disk until they are asked for."""
    firsts = accumulate((part.records for part in parsed.parts), initial=0)
    return pl.concat(
        [
            pl.read_ipc(part.path(parsed.folder, HALVES)).with_columns(pl.col("record") + first, number=pl.lit(number))
            for part, first in zip(parsed.parts, firsts, strict=False)
            if part.halves
        ],
        rechunk=False,
    )


def _decided(halves: pl.DataFrame) -> pl.DataFrame:
    """Each half without its value, and `request`, the row of the request that an answer belongs to."""
    told = halves.drop("value").with_columns(answers=ANSWERS, requests=REQUESTS)
    requests = told.filter(~IS_ANSWER & (pl.col("requests") == 1)).select("custom_id", request="row")
    return told.join(requests, on="custom_id", how="left", maintain_order="left")


def _tables(decided: pl.DataFrame, halves: pl.DataFrame, transform: Transform) -> Iterator[Ingested]:
    """What is set aside of the halves of one file, and the exchanges of its answers."""
    is_alone = (pl.col("answers") == 0) | (pl.col("requests") == 0)
    is_joined = (pl.col("answers") == 1) & (pl.col("requests") == 1)
    doubled = ADVICE["duplicate_custom_id"]
    aside = decided.filter(~is_joined).with_columns(
        reason=pl.when(is_alone).then("reason").otherwise(pl.lit("duplicate_custom_id")),
        field=pl.when(is_alone).then("field").otherwise(pl.lit("custom_id")),
        found=pl.when(is_alone).then("found").otherwise(pl.format('"{}"', "custom_id")),
        expected=pl.when(is_alone).then("expected").otherwise(pl.lit(doubled.expected)),
        fix=pl.when(is_alone).then("fix").otherwise(pl.lit(doubled.fix)),
    )
    nothing = transform.each([])
    aside = aside.with_columns(found=shown(aside["found"]))
    yield nothing._replace(quarantined=aside.select(nothing.quarantined.columns))
    for some in decided.filter(is_joined & IS_ANSWER).iter_slices(JOINED_TOGETHER):
        answers, requests = (halves.select("value", "repairs")[some[name]].rows() for name in ("row", "request"))
        exchanges = map(_exchange, requests, answers)
        joined = list(zip(some["byte_offset"], exchanges, strict=True))
        yield _of_file(transform.each(joined), some["record"])


def _exchange(request: tuple[str, list[FileRepair]], answer: tuple[str, list[FileRepair]]) -> dict[str, Any]:
    """One record of a request and its answer, with the repairs that reading them took."""
    value, repairs = {**json.loads(request[0]), **json.loads(answer[0])}, (*request[1], *answer[1])
    return Mended(value, repairs, "") if repairs else value


def _of_file(made: Ingested, records: pl.Series) -> Ingested:
    """What was made of some records, by their numbers in the file."""
    conversations, quarantined = (
        table.with_columns(record=records.gather(table["record"])) for table in (made.conversations, made.quarantined)
    )
    return made._replace(conversations=conversations, quarantined=quarantined, records=0)
