"""Shingles of many rows in chunks, in memory or in files, so that a corpus need not fit in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import Runs, ranges, starts_of

FEW = 0.1  # a file of which a smaller share is wanted is not read as a whole


@dataclass(frozen=True)
class Chunk:
    """The shingles of consecutive rows."""

    counts: Ints  # per row
    hashes: Hashes | Path  # or a file of them, native 64-bit integers

    def load(self) -> Runs:
        """All of them, in memory."""
        if isinstance(self.hashes, Path):
            return Runs(np.fromfile(self.hashes, dtype=np.uint64), self.counts)
        return Runs(self.hashes, self.counts)

    def of_rows(self, chosen: Booleans) -> Runs:
        """Those of some of the rows; of a file no more is read than is worth it."""
        if chosen.all():
            return self.load()
        if chosen.mean() > FEW:
            return self.load().of_texts(chosen)
        counts = self.counts[chosen]
        return Runs(self.opened[ranges(starts_of(self.counts)[chosen], counts)], counts)

    @cached_property
    def opened(self) -> Hashes:
        """An array of which only what is looked at is read."""
        if not isinstance(self.hashes, Path):
            return self.hashes
        if not self.counts.sum():
            return np.zeros(0, dtype=np.uint64)
        return np.memmap(self.hashes, dtype=np.uint64, mode="r")


class Gathered(NamedTuple):
    """Shingles with the place in the request that asked for them."""

    hashes: Hashes
    places: Ints


class ShingleChunks:
    """Shingles by row, where rows are numbered through all chunks."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._edges = np.cumsum([0, *(len(chunk.counts) for chunk in chunks)])
        self.counts: Ints = np.concatenate([np.zeros(0, np.int64), *(chunk.counts for chunk in chunks)])
        self._starts = np.concatenate([np.zeros(0, np.int64), *(starts_of(chunk.counts) for chunk in chunks)])

    def of(self, wanted: Booleans) -> Iterator[tuple[Ints, Runs]]:
        """The wanted rows, chunk by chunk: their numbers and their shingles."""
        for chunk, (first, end) in zip(self._chunks, pairwise(self._edges), strict=True):
            chosen = wanted[first:end]
            if chosen.any():
                yield np.flatnonzero(chosen) + first, chunk.of_rows(chosen)

    def runs(self, rows: Ints) -> Runs:
        """The shingles of rows in rising order."""
        return Runs(self.gather(rows).hashes, self.counts[rows])

    def gather(self, rows: Ints) -> Gathered:
        """The shingles of single rows, in no particular order."""
        hashes, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        order = np.argsort(rows, kind="stable")
        cuts = np.searchsorted(rows[order], self._edges)
        for chunk, (begin, end) in zip(self._chunks, pairwise(cuts), strict=True):
            if begin == end:
                continue
            among = order[begin:end]
            counts = self.counts[rows[among]]
            hashes.append(chunk.opened[ranges(self._starts[rows[among]], counts)])
            places.append(np.repeat(among, counts))
        return Gathered(np.concatenate(hashes), np.concatenate(places))
