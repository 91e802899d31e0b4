"""Reads the records of evaluation files; what goes with a set, such as its README, is passed over and said."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from stages.errors import DataError
from stages.raw_files.byte_stream import decompressed
from stages.raw_files.records import BrokenRecord, Record, read_records
from stages.raw_files.source_files import SourceFile

ABOUT_NAMES = "readme license licence copying notice manifest changelog changes citation authors contributing"
ABOUT_NAMES += (
    " datacard dataset_card dataset_info dataset_infos metadata checksums sha256sums md5sums sha256sum version"
)
ABOUT_SUFFIXES = {".md", ".rst", ".html", ".pdf", ".py", ".sh", ".ipynb", ".yaml", ".yml", ".toml", ".cfg", ".lock"}
ABOUT_SUFFIXES |= {".sha256", ".md5", ".license", ".bib", ".png", ".jpg", ".svg"}
TEXT_CHARS = 100_000  # a text file is one document up to this size, and divided into items here
MAY_BE_TEXTS = ("not_an_object", "unsupported_format")  # what a list of bare texts is, or their lines, to other readers
MAX_TEXTS_BYTES = 1 << 26  # of a list of bare texts, which is read at once
MAX_LINE_ITEM_SHARE = 0.5  # of paragraphs with several lines, from which lines are not items of their own


class EvalFile(NamedTuple):
    """One file of the evaluation folder."""

    name: str
    sha256: str
    items: int
    skipped: str | None  # why it holds no items


def check_pins(evals: Sequence[SourceFile], pins: Mapping[str, str]) -> None:
    """Raises DataError where a pinned file is missing or holds other bytes than those that its digest names."""
    found = {file.name: file.sha256 for file in evals}
    wrong = [
        f"{name} is {found.get(name, 'missing')} and should be {digest}"
        for name, digest in sorted(pins.items())
        if found.get(name) != digest.lower()
    ]
    if wrong:
        raise DataError(
            f"evals: {'; '.join(wrong)}; rows must be checked against the files that are evaluated: restore them, or "
            f"pin the new digests in decontaminate.pins"
        )


def why_skipped(file: SourceFile) -> str | None:
    """Why a file is no evaluation set, told from its name; None for one that is to be read."""
    path = PurePosixPath(file.name)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if path.name.split(".")[0].lower() in ABOUT_NAMES.split():
        return "is about the folder, by its name"
    if suffixes and suffixes[-1] in ABOUT_SUFFIXES:
        return f"no data, by its suffix {suffixes[-1]}"
    return None


def eval_records(file: SourceFile) -> Iterator[Record]:
    """The records of one file; of plain text its lines, or its paragraphs where these have several lines.

    Raises DataError for one that cannot be read: an item that is not checked would pass for clean.
    """
    number = 0
    for record in read_records(file, text_chars=TEXT_CHARS):
        if isinstance(record, BrokenRecord):
            if number == 0 and record.reason in MAY_BE_TEXTS and (texts := _bare_texts(file)):
                yield from (Record(place, 0, text) for place, text in enumerate(texts))
                return
            where = "the file" if record.index is None else f"record {record.index}"
            raise DataError(
                f"evals: {where} of {file.name} cannot be read at byte {record.byte_offset} ({record.reason}: "
                f"{record.detail}); rows cannot be checked against it, so mend or remove it"
            )
        if not isinstance(record.value, str):
            number += 1
            yield record
            continue
        for text in text_items(record.value):
            yield Record(number, record.byte_offset, text)
            number += 1


def _bare_texts(file: SourceFile) -> list[str]:
    """The texts of a file that is one JSON list of texts, or has a JSON text on each line; of any other none."""
    read = bytearray()
    for chunk in decompressed(file.path):
        read += chunk
        if len(read) > MAX_TEXTS_BYTES:
            return []
    try:
        values = (
            json.loads(read)
            if read.lstrip().startswith(b"[")
            else [json.loads(line) for line in read.splitlines() if line.strip()]
        )
    except (RecursionError, ValueError):
        return []
    return values if all(isinstance(value, str) for value in values) else []


def text_items(text: str) -> list[str]:
    """The items of a plain text: its lines, or its paragraphs where most of them have several lines."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    several = sum("\n" in part for part in paragraphs)
    if len(paragraphs) > 1 and several > MAX_LINE_ITEM_SHARE * len(paragraphs):
        return paragraphs
    return [line.strip() for line in text.splitlines() if line.strip()]
