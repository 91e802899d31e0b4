"""All rows of a corpus as dedup sees them: sketches, and the order in which rows are preferred."""

from typing import NamedTuple

import numpy as np
import polars as pl

from stages.dedup.shingle_chunks import ShingleChunks
from stages.dedup.sketches import NO_TEXT
from stages.dedup.sorting import rising_order, starts_group
from stages.dedup.stage import DedupParams
from stages.dedup.turns import Turns
from stages.texts.word_bytes import Booleans, Hashes, Ints, scattered

SLOTS_PER_KEY, MOST_SLOT_BITS = 4, 24  # at most 128 MiB


class Corpus(NamedTuple):
    """One entry per row in each field but the first, best row first; no two rows have the same row_id."""

    row_ids: pl.Series  # in the order of the table
    place: Ints  # in the table
    source: Ints  # numbers of the sources
    text: Hashes  # two columns, as in Sketches
    opening: Hashes
    question: Hashes
    sketch: Ints  # the row's place in `shingles`
    shingles: ShingleChunks
    turns: Turns  # by sketch, as shingles are
    id_order: Ints  # place of each row among all row ids, rising
    identity: Hashes  # of the row's id and of what it is preferred by, but for its text

    @property
    def rows(self) -> int:
        return len(self.source)

    def by_sketch(self, rows: Booleans) -> Booleans:
        """For each sketch whether one of these rows has it."""
        chosen = np.zeros(len(self.shingles.counts), dtype=np.bool_)
        chosen[self.sketch[rows]] = True
        return chosen

    @property
    def is_long(self) -> Booleans:
        """Rows that are compared turn by turn."""
        long: Booleans = self.turns.counts[self.sketch] > 0
        return long


class Sketched(NamedTuple):
    """What sketches say: an entry for each in every field."""

    text: Hashes
    opening: Hashes
    question: Hashes
    length: Ints
    shingles: ShingleChunks
    turns: Turns


class Rows(NamedTuple):
    """What a corpus takes from the table itself, row by row."""

    row_id: pl.Series
    source: pl.Series
    repairs: pl.Series  # how many


class Length(NamedTuple):
    """By what a row is longer than another one; the first counts most."""

    long_turns: Ints
    bytes: Ints


def best_first(rows: Rows, length: Length, params: DedupParams) -> Ints:
    """The order of preference: source, fewer repairs, longer, lower row_id."""
    known = {name: place for place, name in enumerate(params.prefer_sources)}
    preference = rows.source.replace_strict(known, default=len(known), return_dtype=pl.Int64).to_numpy()
    shorter = [longer.max(initial=0) - longer for longer in reversed(length)]
    keys = [_id_order(rows.row_id), *shorter, rows.repairs.to_numpy(), preference]
    return np.lexsort([key for key in keys if key.any()] or keys[:1])  # most corpora have one source, and no repairs


def corpus_of(rows: Rows, sketch: Ints, sketched: Sketched, params: DedupParams) -> Corpus:
    """The corpus of `rows`, of which each has its sketch in a place among all `sketched`."""
    order = best_first(rows, Length(sketched.turns.counts[sketch], sketched.length[sketch]), params)
    names = pl.Enum(rows.source.unique().sort())
    source, own = rows.source.cast(names).to_physical().to_numpy().astype(np.int64), sketch[order]
    return Corpus(
        row_ids=rows.row_id,
        place=order,
        source=source[order],
        text=np.take(sketched.text, own, axis=0),
        opening=np.take(sketched.opening, own, axis=0),
        question=np.take(sketched.question, own, axis=0),
        sketch=own,
        shingles=sketched.shingles,
        turns=sketched.turns,
        id_order=_id_order(rows.row_id)[order],
        identity=identities(rows)[order],
    )


def identities(rows: Rows) -> Hashes:
    """A number for each row that only the same row_id with the same source and as many repairs has again."""
    named = rows.row_id.hash().to_numpy() ^ scattered(rows.source.hash().to_numpy())
    return scattered(named + rows.repairs.to_numpy().astype(np.uint64))


def _id_order(row_id: pl.Series) -> Ints:
    if row_id.is_sorted():
        return np.arange(len(row_id))
    return row_id.rank("ordinal").to_numpy().astype(np.int64) - 1


def first_alike(keys: Hashes) -> Ints:
    """For each row the first with an equal key; a row without text is like itself alone."""
    first = np.arange(len(keys))
    stated = np.flatnonzero((keys[:, 0] | keys[:, 1]) != NO_TEXT)
    stated = stated[_may_repeat(keys[stated, 0])]
    order = stated[rising_order(keys[stated, 0])]
    if not len(order):
        return first
    ordered = np.take(keys, order, axis=0)
    new = starts_group(ordered[:, 0])
    if (starts_group(ordered[:, 1]) & ~new).any():  # half a key in common: never seen, so it may be slow
        order = stated[np.lexsort((keys[stated, 1], keys[stated, 0]))]
        ordered = np.take(keys, order, axis=0)
        new = starts_group(ordered[:, 0]) | starts_group(ordered[:, 1])
    first[order] = np.minimum.reduceat(order, np.flatnonzero(new))[np.cumsum(new) - 1]
    return first


def _may_repeat(keys: Hashes) -> Booleans:
    """False for most of the keys that stand only once, so that they need not be sorted."""
    bits = min((SLOTS_PER_KEY * len(keys)).bit_length(), MOST_SLOT_BITS)
    slots = (keys >> np.uint64(64 - bits)).view(np.int64) if len(keys) else np.zeros(0, dtype=np.int64)
    several: Booleans = np.bincount(slots)[slots] > 1
    return several


def is_repeated(keys: Hashes) -> Booleans:
    """Whether another row has an equal key."""
    first = first_alike(keys)
    repeated: Booleans = np.bincount(first, minlength=len(first))[first] > 1
    return repeated
