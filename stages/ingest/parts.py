"""What was read of one file, left on disk in parts that know nothing of other files and so can be used again."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import polars as pl

from stages.errors import DataError
from stages.ingest.fragments import Fragment
from stages.ingest.stage import IngestParams
from stages.ingest.transform import Ingested, Transform
from stages.raw_files.source_files import SourceFile
from stages.store.checksums import checksum_of
from stages.store.storage import digest_of

FRAGMENTS, HALVES = "fragments", "halves"
MARKER = "parts.json"  # written last: a folder without it is not whole


class Part(NamedTuple):
    """Tables of some neighbouring records of a file, and their counts. `record` in the tables counts from the first one."""

    number: int
    records: int
    rows: int
    dialects: dict[str, int]
    repairs: dict[str, int]
    reasons: dict[str, int]
    checksums: dict[str, int]  # file name -> CRC-32: enough against a damaged disk, at a tenth of SHA-256's cost
    fragments: int = 0  # messages of trees, left as JSON lines until the whole file is read
    halves: int = 0  # requests and answers that may be joined with those of other files
    weights: tuple[int, float, float] | None = None  # rows that say what they weigh, the least and the most of it
    unread: Mapping[str, int] = {}  # field -> records whose text there no conversation holds

    def path(self, folder: Path, table: str) -> Path:
        return folder / f"{self.number:06d}-{table}.arrow"


class Parsed(NamedTuple):
    """All parts of one file, in order."""

    folder: Path
    parts: tuple[Part, ...]

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The parts that stand in `folder` if each is the one that was written there."""
        try:
            parts = tuple(Part(**stated) for stated in json.loads((folder / MARKER).read_text(encoding="utf-8")))
            whole = all(
                checksum_of(folder / name) == stated for part in parts for name, stated in part.checksums.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return cls(folder, parts) if whole else None


def write_part(folder: Path, number: int, made: Ingested) -> Part:
    """Leaves the tables of `made` in `folder`. Raises DataError when a record is in neither table."""
    found = {*made.conversations["record"], *made.quarantined["record"]} - {None}
    halves = 0 if made.halves is None else made.halves.height
    if (lost := made.records - len(found) - len(made.fragments) - halves) > 0:
        raise DataError(
            f"{folder}, part {number}: {lost} of {made.records} records are neither in conversations "
            f"nor in quarantined; this is a fault of ingest: report it with the file"
        )
    tables = {"conversations": made.conversations, "quarantined": made.quarantined}
    tables |= {HALVES: made.halves} if made.halves is not None else {}
    repairs = Counter(chain.from_iterable(_stated(made.conversations["repairs"]).to_list()))
    reasons = Counter(made.quarantined["reason"])
    counts = (dict(made.dialects), dict(repairs), dict(reasons))
    weights = _stated(made.conversations["weight"])
    span = (len(weights), cast(float, weights.min()), cast(float, weights.max())) if len(weights) else None
    height, unread = made.conversations.height, dict(made.unread)
    part = Part(number, made.records, height, *counts, {}, len(made.fragments), halves, span, unread)
    if made.fragments:
        text = "".join(json.dumps(fragment) + "\n" for fragment in made.fragments)
        part.path(folder, FRAGMENTS).write_text(text, encoding="utf-8")
    for name, table in tables.items():
        if table.height:
            path = part.path(folder, name)
            table.write_ipc(path, compression="uncompressed")
            part.checksums[path.name] = checksum_of(path)
    return part


def _stated(values: pl.Series) -> pl.Series:
    """Those that are not null. Mostly all are, which is known at once; of thousands of tiny files, each would be looked at."""
    return values.clear() if values.null_count() == len(values) else values.drop_nulls()


def seal(folder: Path, parts: list[Part], transform: Transform) -> Parsed:
    """Puts together what is spread over the parts, and marks the folder as whole."""
    ordered = sorted(parts)
    if any(part.fragments for part in ordered):
        made = transform.trees(_fragments(folder, ordered))
        total = sum(part.records for part in ordered)
        conversations, quarantined = (
            table.with_columns(pl.col("record") - total) for table in (made.conversations, made.quarantined)
        )
        relative = made._replace(conversations=conversations, quarantined=quarantined)
        ordered.append(write_part(folder, ordered[-1].number + 1, relative))
    (folder / MARKER).write_text(json.dumps([part._asdict() for part in ordered]), encoding="utf-8")
    return Parsed(folder, tuple(ordered))


def _fragments(folder: Path, parts: list[Part]) -> Iterator[Fragment]:
    """All fragments of a file, `record` counted from its first record."""
    first = 0
    for part in parts:
        if part.fragments:
            path = part.path(folder, FRAGMENTS)
            for line in path.read_text(encoding="utf-8").splitlines():
                fragment = Fragment(*json.loads(line))
                yield fragment._replace(record=first + fragment.record)
            path.unlink()
        first += part.records


class Kept:
    """Parts of files that were read before, by what they depend on: the file's bytes, its suffix and the parameters.

    The folder belongs to this very code, so the code need not be part of an address.
    """

    def __init__(self, cache: Path, params: dict[str, Any]) -> None:
        self._cache = cache
        self._params = params

    def address(self, file: SourceFile) -> Path:
        """Where the parts of a file are kept."""
        named = [file.source, file.name] if self._params.get("templates") else Path(file.name).suffixes
        return self._cache / digest_of([file.sha256, named, self._params])[:32]

    def find(self, file: SourceFile) -> Parsed | None:
        """What was made of the same bytes before."""
        return Parsed.load(self.address(file)) if file.sha256 else None

    def keep(self, file: SourceFile, parsed: Parsed) -> Parsed:
        """Moves the parts to their address, from where they can be used at once and by later runs."""
        if not file.sha256:
            return parsed
        final = self.address(file)
        shutil.rmtree(final, ignore_errors=True)  # was not whole
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(parsed.folder, final)
        except OSError:  # another file system, or another run was faster: the parts are good where they are
            return parsed
        return parsed._replace(folder=final)


def result_params(params: IngestParams) -> dict[str, Any]:
    """The values that what is read from a file depends on."""
    from stages.store.identity import result_params as of_result

    return of_result(params)
