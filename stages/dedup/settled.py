"""Keeps the matches of a run beside its sketches, for the next run to start from.

Sketches stand for rows here, as each compared text has one that is its own; sketches are numbered through the pages of
the book as it was, whose names are kept with them. What is damaged, or was found with other values, does not count.
"""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.dedup.comparison import Comparison
from stages.dedup.seal import is_whole, seal
from stages.dedup.sketch_book import Page
from stages.dedup.survivors import Matches
from stages.dedup.update import Settled
from stages.store.storage import digest_of
from stages.texts.word_bytes import Hashes, Ints

NAME = "settled"


def keep(folder: Path, pages: Sequence[Page], comparison: Comparison, found: Matches) -> None:
    """Writes what was found, whole or not at all, in place of what was found before."""
    sketch = comparison.corpus.sketch
    identity = np.zeros(len(comparison.corpus.shingles.counts), dtype=np.uint64)
    identity[sketch[comparison.with_words]] = comparison.corpus.identity[comparison.with_words]
    new = folder / f".new-{uuid.uuid4().hex}"
    new.mkdir(parents=True)
    np.savez(
        new / "fields.npz",
        allow_pickle=False,
        identity=identity,
        pages=np.array([page.folder.name for page in pages], dtype=np.str_),
        page_rows=np.array([len(page.counts) for page in pages], dtype=np.int64),
        values=np.array(_values(comparison)),
        templates=comparison.templates,
        **found.at(sketch)._asdict(),
    )
    seal(new)
    shutil.rmtree(folder / NAME, ignore_errors=True)
    new.rename(folder / NAME)


def settled_of(folder: Path, pages: Sequence[Page], comparison: Comparison) -> Settled | None:
    """What an earlier run found about texts that the same rows still stand for; None when nothing of use was kept."""
    if not is_whole(folder / NAME):
        return None
    with np.load(folder / NAME / "fields.npz") as kept:
        if str(kept["values"]) != _values(comparison):
            return None
        row = _rows_of(kept["identity"], _numbers_now(kept["pages"].tolist(), kept["page_rows"], pages), comparison)
        changed = np.setxor1d(kept["templates"], comparison.templates)
        found = Matches(*(kept[name] for name in Matches._fields))
    if len(changed):  # rows that hold one are alike in another way now
        row[np.isin(row, np.flatnonzero(comparison.holding(changed)))] = -1
    return Settled.carried(found, row, comparison.corpus.rows)


def _values(comparison: Comparison) -> str:
    return digest_of(comparison.params.model_dump(mode="json"))


def _numbers_now(names: Sequence[str], rows: Ints, pages: Sequence[Page]) -> Ints:
    """For each sketch of then its number in the book as it is now, -1 for one whose page is gone."""
    edges = np.cumsum([0, *(len(page.counts) for page in pages)])
    first = {page.folder.name: int(edge) for page, edge in zip(pages, edges[:-1], strict=True)}
    numbers = [np.zeros(0, np.int64)]
    numbers += [
        np.arange(count) + first[name] if name in first else np.full(count, -1)
        for name, count in zip(names, rows.tolist(), strict=True)
    ]
    return np.concatenate(numbers)


def _rows_of(identity: Hashes, numbers: Ints, comparison: Comparison) -> Ints:
    """For each sketch of then the row that stood for it, if the same row stands for it now; else -1."""
    corpus, chosen = comparison.corpus, np.flatnonzero(comparison.with_words)
    row_at = np.full(len(corpus.shingles.counts), -1)
    row_at[corpus.sketch[chosen]] = chosen
    row = np.full(len(numbers), -1)
    row[numbers >= 0] = row_at[numbers[numbers >= 0]]
    there = np.flatnonzero(row >= 0)
    row[there[corpus.identity[row[there]] != identity[there]]] = -1
    return row
