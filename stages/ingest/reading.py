"""Reads files from outside into parts: several files at a time, and a long one by several processes."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from stages.errors import TryAgain
from stages.ingest.parts import Parsed, Part, seal, write_part
from stages.ingest.stage import LICENCE_REMOVED, IngestParams
from stages.ingest.transform import MIN_BYTES_TOGETHER, Transform
from stages.processes.engine import Workers, here_and_there
from stages.processes.garbage import no_search_for_cycles
from stages.raw_files.byte_stream import Damage
from stages.raw_files.json_blocks import Block
from stages.raw_files.records import BrokenRecord, Found, chars_of, is_cut_in_blocks, read_blocks
from stages.raw_files.source_files import SourceFile, stamp_of

Unit = Block | list[Found]

MIN_BYTES_TO_SHARE = 1 << 24  # below this, starting processes takes about as long as the work
MIN_BYTES_TO_CUT = 1 << 23
SMALL_BYTES, FILES_TOGETHER = MIN_BYTES_TOGETHER, 256  # together at most 4 MiB


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
        return
    for together in _bundles(readings):
        if len(together) > 1:
            yield from _whole(read(together))
            continue
        reading, parts = together[0], []
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
    for made in here_and_there(workers, _tasks(whole, cut), read_task):
        if isinstance(made, list):
            yield from _whole(made)
        else:
            parts[made[0].folder].append(made[1])
            yield Progress([made[1]], None)
    for reading in cut:
        yield Progress([], (reading.file, seal(reading.folder, parts[reading.folder], _transform_of(reading))))


def _whole(made: Iterable[tuple[Reading, Parsed]]) -> Iterator[Progress]:
    for reading, parsed in made:
        yield Progress(list(parsed.parts), (reading.file, parsed))


Task = tuple[list[Reading]] | tuple[list[Reading], int, Unit | BrokenRecord]


def _tasks(whole: Sequence[Reading], cut: Sequence[Reading]) -> Iterator[Task]:
    for together in _bundles(whole):
        yield (together,)
    for reading in cut:
        for number, unit in enumerate(_units(reading)):
            yield [reading], number, unit


def _bundles(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Neighbouring files that are small, some together, and every other one alone."""
    for is_small, some in groupby(readings, key=_is_small):
        waiting = iter(some)
        while together := list(islice(waiting, FILES_TOGETHER if is_small else 1)):
            yield together


def _is_small(reading: Reading) -> bool:
    return _size(reading) < SMALL_BYTES and not reading.params.templates  # which may be meant for one file


def _size(reading: Reading) -> int:
    return reading.file.stamp[0] if reading.file.stamp else 0


def read_task(
    readings: Sequence[Reading], number: int | None = None, unit: Unit | BrokenRecord | None = None
) -> list[tuple[Reading, Parsed]] | tuple[Reading, Part]:
    """All parts of some files, or of one file that of a numbered unit, in whichever process."""
    if number is not None and unit is not None:
        return readings[0], _part(readings[0], number, unit)
    return list(read(readings))


def read(readings: Sequence[Reading]) -> Iterator[tuple[Reading, Parsed]]:
    """All parts of some files: to make a table costs more than the little that a small file puts into it, so that what
    is small has one table together, which is cut up."""
    small = list[tuple[Reading, list[Unit | BrokenRecord]]]()
    for reading in readings:
        units = _units_if_small(reading) if len(readings) > 1 else None
        if units is None:
            yield reading, seal(reading.folder, list(_parts(reading)), _transform_of(reading))
        else:
            small.append((reading, units))
    if small:
        transform = _transform_of(small[0][0])
        with no_search_for_cycles():
            made = iter(transform.several([unit for _, units in small for unit in units]))
        for reading, units in small:
            parts = [write_part(reading.folder, number, next(made)) for number in range(len(units))]
            yield reading, seal(reading.folder, parts, transform)


def _units_if_small(reading: Reading) -> list[Unit | BrokenRecord] | None:
    """The records of a file if they are few; a small file may unpack to any number."""
    units, size = list[Unit | BrokenRecord](), 0
    for unit in _units(reading):
        if isinstance(unit, Block):
            size += len(unit.data)
        elif not isinstance(unit, BrokenRecord):
            size += sum(chars_of(value) for _, value in unit)
        if size >= SMALL_BYTES:
            return None
        units.append(unit)
    return units


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
