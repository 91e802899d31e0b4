"""Reads files from outside into parts: several files at a time, and a long one by several processes."""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stages.errors import TryAgain
from stages.ingest.parts import Parsed, Part, seal, write_part
from stages.ingest.stage import LICENCE_REMOVED, IngestParams
from stages.ingest.transform import Transform
from stages.processes.engine import Workers, here_and_there
from stages.processes.garbage import no_search_for_cycles
from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_blocks import Block
from stages.raw_files.records import BrokenRecord, Found, is_cut_in_blocks, read_blocks
from stages.raw_files.source_files import SourceFile, stamp_of

Unit = Block | list[Found]

MIN_BYTES_TO_SHARE = 1 << 24  # below this, starting processes takes about as long as the work
MIN_BYTES_TO_CUT = 1 << 23


class Reading(NamedTuple):
    """One file to be read, and the folder where its parts are left."""

    file: SourceFile
    folder: Path
    params: IngestParams


class Progress(NamedTuple):
    """Parts that were just finished, and the file that is whole with them."""

    parts: list[Part]
    whole: tuple[SourceFile, Parsed] | None


def read_files(
    files: Sequence[SourceFile], scratch: Path, params: IngestParams, workers: Workers | None
) -> Iterator[Progress]:
    """Leaves the parts of each file in a folder of its own below `scratch`."""
    shutil.rmtree(scratch, ignore_errors=True)
    readings = [Reading(file, scratch / f"{number:06d}", params) for number, file in enumerate(files)]
    for reading in readings:
        reading.folder.mkdir(parents=True)
    if workers and sum(map(_size, readings)) >= MIN_BYTES_TO_SHARE:
        yield from _shared(readings, workers)
    else:
        for reading in readings:
            parts = []
            for part in _parts(reading):
                parts.append(part)
                yield Progress([part], None)
            yield Progress([], (reading.file, seal(reading.folder, parts, _transform_of(reading))))


def _shared(readings: Sequence[Reading], workers: Workers) -> Iterator[Progress]:
    parts: dict[Path, list[Part]] = defaultdict(list)  # by folder
    whole, cut = list[Reading](), list[Reading]()
    for reading in sorted(readings, key=_size, reverse=True):
        is_long = _size(reading) >= MIN_BYTES_TO_CUT and is_cut_in_blocks(reading.file)
        (cut if is_long else whole).append(reading)
    for reading, made in here_and_there(workers, _tasks(whole, cut), read):
        if isinstance(made, Parsed):
            yield Progress(list(made.parts), (reading.file, made))
        else:
            parts[reading.folder].append(made)
            yield Progress([made], None)
    for reading in cut:
        yield Progress([], (reading.file, seal(reading.folder, parts[reading.folder], _transform_of(reading))))


Task = tuple[Reading] | tuple[Reading, int, Unit | BrokenRecord]


def _tasks(whole: Sequence[Reading], cut: Sequence[Reading]) -> Iterator[Task]:
    for reading in whole:
        yield (reading,)
    for reading in cut:
        for number, unit in enumerate(_units(reading)):
            yield reading, number, unit


def _size(reading: Reading) -> int:
    return reading.file.stamp[0] if reading.file.stamp else 0


def read(
    reading: Reading, number: int | None = None, unit: Unit | BrokenRecord | None = None
) -> tuple[Reading, Part | Parsed]:
    """All parts of a file, or the one of a numbered unit of it, in whichever process."""
    if number is not None and unit is not None:
        return reading, _part(reading, number, unit)
    return reading, seal(reading.folder, list(_parts(reading)), _transform_of(reading))


def _parts(reading: Reading) -> Iterator[Part]:
    for number, unit in enumerate(_units(reading)):
        yield _part(reading, number, unit)


def _units(reading: Reading) -> Iterator[Unit | BrokenRecord]:
    """The records of a file, and at the end what is wrong with the file as a whole.

    Raises TryAgain where the file was written to since its digest was taken.
    """
    file, params = reading.file, reading.params
    last: Unit | None = None
    try:
        limits = {"max_record_bytes": params.max_record_bytes, "text_chars": params.text_chars}
        for unit in read_blocks(file, **limits, without_licence=LICENCE_REMOVED in params.repairs):
            if unit and not (isinstance(unit, Block) and unit.data.isspace()):
                last = unit
                yield unit
        if last is None:
            raise Damage("empty_file", "the file holds no record")
    except Damage as damage:
        yield BrokenRecord(None, _last_offset(last), damage.reason, damage.detail)
    if file.stamp and _changed(file):
        raise TryAgain(
            f"{file.source}: {file.name} was written to while it was read; run again once nobody writes to the source"
        )


def _changed(file: SourceFile) -> bool:
    try:
        return stamp_of(file.path) != file.stamp
    except OSError:  # it vanished, and what was read of it says so
        return False


def _last_offset(last: Unit | None) -> int:
    if isinstance(last, Block):
        return max((offset for offset, _ in last.elements()), default=last.offset)
    return last[-1][0] if last else 0


def _part(reading: Reading, number: int, unit: Unit | BrokenRecord) -> Part:
    transform = _transform_of(reading)
    with no_search_for_cycles():
        if isinstance(unit, BrokenRecord):
            made = transform.fault(unit)
        else:
            made = transform.block(unit) if isinstance(unit, Block) else transform.found(unit)
    return write_part(reading.folder, number, made)


def _transform_of(reading: Reading) -> Transform:
    return _transform(reading.params.model_dump_json(), reading.file if reading.params.templates else None)


@cache
def _transform(params: str, file: SourceFile | None) -> Transform:
    return Transform(IngestParams.model_validate_json(params), file)
