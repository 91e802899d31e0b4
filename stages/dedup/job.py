"""Sketches the rows that were not met before, decides on all of them, and writes both tables part by part.

What outlives a run in its cache: sketches (`sketch_book`) and what was found (`settled`), from which `update` starts.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from stages.contract import Workbench
from stages.dedup.corpus import Corpus, Rows, corpus_of
from stages.dedup.decisions import comparison_of, decide, matches_of
from stages.dedup.minhash import slices_of
from stages.dedup.probes import certify
from stages.dedup.settled import keep, settled_of
from stages.dedup.sketch_book import UNKNOWN, Book, content_keys, write_page
from stages.dedup.sketches import sketch
from stages.dedup.stage import DedupParams
from stages.dedup.update import updated
from stages.dedup.verdicts import Verdicts, light_rows, verdicts
from stages.dedup.writing import write
from stages.processes.engine import worker_pool
from stages.store.locks import lock, private_folder
from stages.store.storage import digest_of
from stages.texts.word_bytes import Booleans, Hashes, Ints

NUMBER = ".number"
ROWS_AT_ONCE = 25_000  # bounds the memory of sketching; files with fewer new rows than this share a page


class Part(NamedTuple):
    """One file of the table: what is read of all its rows."""

    path: Path
    rows: Rows
    content: Hashes
    identified: Booleans  # whether the row has a content_id


class Task(NamedTuple):
    """One page of the book to make."""

    rows: Sequence[tuple[Part, Booleans]]  # of each file, which
    folder: Path
    params: DedupParams


def run(
    conversations: Path, *, unique: Path, duplicates: Path, params: DedupParams, workbench: Workbench
) -> dict[str, object]:
    """`unique` and `duplicates` from the sketches of all rows; returns what was new and how sure candidates are found."""
    paths = sorted(conversations.glob("part-*.parquet"))
    made, facts = divide(paths, params, workbench)
    with private_folder(workbench.scratch) as waiting:
        write(paths, made, params.key, unique, duplicates, waiting)
    return facts | {"told": _told(facts, made, params)}


def _told(facts: Mapping[str, object], made: Verdicts, params: DedupParams) -> list[str]:
    """In words how surely likes were found, and how many answers of one question there are side by side."""
    curve, planted = facts["recall_at_threshold_by_curve"], facts["probes"]
    probed = (
        f"{facts['probes_found']:,} of {planted:,} planted ones" if planted else "no row was long enough to plant one"
    )
    told = [f"recall of pairs {params.min_similarity:g} alike: {curve:.2%} by the curve, {probed}"]
    if rivals := made.stay.filter(pl.col("answers_to_question") > 1).height:
        told.append(f"{rivals:,} rows answer a question that others answer differently: answers_to_question above 1")
    return told


def divide(
    conversations: Sequence[Path], params: DedupParams, workbench: Workbench
) -> tuple[Verdicts, dict[str, object]]:
    """The verdict on every row of some files, and facts about how it was reached."""
    folder = workbench.cache / digest_of([params.key, params.min_long_turns, params.shingle_words])[:16]
    parts = [_part(path) for path in conversations]
    with lock(folder):  # another run may drop pages that this one reads
        book, numbers, sketched = _sketch_unknown(parts, folder, params, workbench)
        corpus = _corpus(parts, book, numbers, params)
        workbench.progress(corpus.rows, corpus.rows, "rows", sketched=sketched)
        comparison = comparison_of(corpus, params)
        settled = settled_of(folder, book.pages, comparison)
        found = updated(comparison, settled) if settled else None
        facts = {"rows_sketched": sketched, "rows_known": corpus.rows - sketched, "carried_over": found is not None}
        found = found or matches_of(comparison)
        keep(folder, book.pages, comparison, found)
        book.drop_unused(corpus.by_sketch(np.ones(corpus.rows, dtype=np.bool_)))
        return verdicts(corpus, decide(comparison, found), params), facts | certify(comparison)


def _part(path: Path) -> Part:
    table = pl.read_parquet(path, columns=["row_id", "source", "content_id", "repairs"], glob=False)
    identified = table["content_id"].is_not_null().to_numpy()
    return Part(path, light_rows(table), content_keys(table["content_id"]), identified)


def _sketch_unknown(
    parts: Sequence[Part], folder: Path, params: DedupParams, workbench: Workbench
) -> tuple[Book, Ints, int]:
    """A book that knows every row, the number of each row's sketch, and how many rows were new."""
    book = Book(folder)
    content = np.concatenate([part.content for part in parts])
    numbers = book.numbers_of(content)
    numbers[~np.concatenate([part.identified for part in parts])] = UNKNOWN
    edges = np.cumsum([0, *(len(part.content) for part in parts)])
    unknown = [numbers[first:end] == UNKNOWN for first, end in pairwise(edges)]
    some = [(part, new) for part, new in zip(parts, unknown, strict=True) if new.any()]
    shares = slices_of(np.array([new.sum() for _, new in some], dtype=np.int64), ROWS_AT_ONCE)
    tasks = [Task(some[share], folder, params) for share in shares]
    first, done = book.rows, 0
    for task, page in zip(tasks, _pages(tasks, workbench.workers), strict=True):
        book.add(page)
        done += sum(int(new.sum()) for _, new in task.rows)
        workbench.progress(done, None, "rows sketched")
    numbers[numbers == UNKNOWN] = np.arange(first, first + done)
    return book, numbers, done


def _pages(tasks: Sequence[Task], workers: int) -> Iterator[Path]:
    """The page of each task's new rows, in the order of the tasks."""
    if workers <= 1 or len(tasks) <= 1:
        yield from map(_make_page, tasks)
        return
    if_one_dies = (
        f"dedup: a process that made one of {len(tasks)} pages of sketches died, probably killed for memory; "
        f"run again with fewer --workers"
    )
    with worker_pool(min(workers, len(tasks)), if_one_dies) as pool:
        yield from pool.map(_make_page, tasks)


def _make_page(task: Task) -> Path:
    content = [np.where(part.identified[:, None], part.content, 0)[new] for part, new in task.rows]
    messages = pl.concat([_messages(part.path, new) for part, new in task.rows])
    sketches = [sketch(rows, task.params) for rows in messages.iter_slices(ROWS_AT_ONCE)]
    return write_page(task.folder, np.concatenate(content), sketches)


def _messages(path: Path, chosen: Booleans) -> pl.DataFrame:
    """The messages of some rows of a file; those of few are had in half the time when no others are unpacked."""
    if chosen.all():
        return pl.read_parquet(path, columns=["messages"], glob=False)
    numbers = pl.Series(np.flatnonzero(chosen)).cast(pl.UInt32).implode()
    table = pl.scan_parquet(path, row_index_name=NUMBER, glob=False).filter(pl.col(NUMBER).is_in(numbers))
    return table.select("messages").collect()


def _corpus(parts: Sequence[Part], book: Book, numbers: Ints, params: DedupParams) -> Corpus:
    columns = zip(*(part.rows for part in parts), strict=True)
    rows = Rows(*(pl.concat(list(column)) for column in columns))
    return corpus_of(rows, numbers, book.sketched, params)
