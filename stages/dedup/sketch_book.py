"""Sketches kept by content between runs, so that a row is sketched once in its life.

A book is a folder of pages; a page is written whole or not at all, sealed, and never
changed. One that is damaged is dropped, and its rows are sketched again. Rows are numbered through all pages. Rows
without a content_id are sketched anew every time. Whoever opens a book or writes to it holds its lock.
"""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from stages.dedup.corpus import Sketched
from stages.dedup.seal import is_whole, seal
from stages.dedup.shingle_chunks import Chunk, ShingleChunks
from stages.dedup.sketches import Sketches
from stages.dedup.sorting import rising_order
from stages.dedup.turns import Turns
from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import Runs

UNKNOWN = -1
FIELDS = ("text", "opening", "question", "length", "long_turns")


class Page(NamedTuple):
    """Some sketches; most of what they say stays in files until it is asked for."""

    folder: Path
    counts: Ints  # shingles of each row

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls(folder, _number(folder, "counts"))

    @property
    def chunk(self) -> Chunk:
        return Chunk(self.counts, self.folder / "shingles.u64")

    @property
    def turn_chunk(self) -> Chunk:
        return Chunk(_number(self.folder, "turn_counts"), self.folder / "turn_shingles.u64")


def _stored(folder: Path, name: str) -> Hashes:
    found: Hashes = np.load(folder / f"{name}.npy")
    return found


def _number(folder: Path, name: str) -> Ints:
    return _stored(folder, name).view(np.int64)


class Book:
    """The pages of a folder; those of an earlier run are verified and read when it is opened."""

    def __init__(self, folder: Path) -> None:
        sweep(folder)
        self.pages = [Page.read(path) for path in sorted(folder.glob("page-*"))]

    def add(self, page: Path) -> None:
        self.pages.append(Page.read(page))

    def numbers_of(self, content: Hashes) -> Ints:
        """The number of each content's sketch, UNKNOWN where there is none."""
        kept = self.field("content")
        order, asked = rising_order(kept[:, 0]), rising_order(content[:, 0])
        numbers = np.full(len(content), UNKNOWN)
        if len(order):  # rising questions are answered several times as fast
            ordered, sought = np.take(kept, order, axis=0), np.take(content, asked, axis=0)
            at = np.minimum(np.searchsorted(ordered[:, 0], sought[:, 0]), len(order) - 1)
            found = np.take(ordered, at, axis=0) == sought
            numbers[asked] = np.where(found[:, 0] & found[:, 1], order[at], UNKNOWN)
        return numbers

    def field(self, name: str) -> Hashes:
        """A field of all pages."""
        return np.concatenate([np.zeros((0, 2), np.uint64), *(_stored(page.folder, name) for page in self.pages)])

    def number(self, name: str) -> Ints:
        """A field of all pages that is a number for each row."""
        return np.concatenate([np.zeros(0, np.int64), *(_number(page.folder, name) for page in self.pages)])

    @property
    def rows(self) -> int:
        return sum(len(page.counts) for page in self.pages)

    @property
    def sketched(self) -> Sketched:
        """All sketches, as a corpus takes them."""
        return Sketched(
            text=self.field("text"),
            opening=self.field("opening"),
            question=self.field("question"),
            length=self.number("length"),
            shingles=ShingleChunks([page.chunk for page in self.pages]),
            turns=Turns(ShingleChunks([page.turn_chunk for page in self.pages]), self.number("long_turns")),
        )

    def drop_unused(self, used: Booleans) -> None:
        """Removes pages of which no row is used any more."""
        first = 0
        for page in self.pages:
            if not used[first : first + len(page.counts)].any():
                shutil.rmtree(page.folder, ignore_errors=True)
            first += len(page.counts)


def sweep(folder: Path) -> None:
    """Removes what a killed run left unfinished, and every page that does not have the bytes it was sealed with."""
    for unfinished in folder.glob(".new-*"):
        shutil.rmtree(unfinished)
    for page in folder.glob("page-*"):
        if not is_whole(page):
            shutil.rmtree(page)


def content_keys(content_ids: pl.Series) -> Hashes:
    """Two hashes of each id."""
    return np.stack([content_ids.hash(seed=seed).to_numpy() for seed in (1, 2)], axis=1)


def write_page(folder: Path, content: Hashes, parts: Sequence[Sketches]) -> Path:
    """Writes a page of consecutive sketches, whole or not at all, and returns where it is."""
    name = uuid.uuid4().hex
    new, page = folder / f".new-{name}", folder / f"page-{name}"
    new.mkdir(parents=True)
    of_runs = {}
    for name, field in (("counts", "shingles"), ("turn_counts", "turn_shingles")):
        runs: list[Runs] = [getattr(part, field) for part in parts]
        of_runs[name] = np.concatenate([run.counts for run in runs])
        with (new / f"{field}.u64").open("wb") as file:
            for run in runs:
                run.hashes.tofile(file)
    fields = {name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS}
    for name, values in {"content": content, **of_runs, **fields}.items():
        np.save(new / f"{name}.npy", values, allow_pickle=False)
    seal(new)
    return new.rename(page)
