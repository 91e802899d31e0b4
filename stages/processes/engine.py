"""Calls a stage's code, and spreads the batches of a `rows` stage over processes with bounded memory."""

import ctypes
import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import polars as pl

from stages.contract import Params, Progress, Stage
from stages.errors import TryAgain
from stages.processes.carried_rows import Earlier
from stages.processes.garbage import no_search_for_cycles
from stages.processes.handed_over import hand_over, taken_over
from stages.processes.spool import write_spool
from stages.schema import load_schema

BATCH_BYTES = 1 << 24  # unpacked; bounds the memory of a worker where rows are long
SHARES_PER_WORKER = 4  # of the rows that are left: batches get smaller, so that at the end none works on alone for long
WORTHWHILE_ROWS = 1024  # to start a process for
THREADS = 2  # workers in one process at most: a quarter of what each does is Python, and more would wait for each other
AHEAD = 2  # batches each other process holds: one in work, one for when that is done
PREPARED = "prepared.pickle"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOCAL, RAY = "local", "ray"
ENGINES = (LOCAL, RAY)
# One thread each, or the workers fight over the cores.
WORKER_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_chosen: ContextVar[str] = ContextVar("engine", default=LOCAL)
_workers: ContextVar[int] = ContextVar("workers", default=1)


@contextmanager
def using(engine: str, workers: int = 1) -> Iterator[None]:
    """Within the block, workers are processes of this machine, or of a Ray cluster: one of so many if it is started here."""
    tokens = _chosen.set(engine), _workers.set(workers)
    try:
        yield
    finally:
        _chosen.reset(tokens[0])
        _workers.reset(tokens[1])


Change = Callable[[pl.DataFrame], pl.DataFrame]
Made = TypeVar("Made")


class Cluster(Protocol):
    """Machines that hold tables together. A function that goes there names files that all of them see."""

    workers: int

    def mapped(self, table: pl.DataFrame, make: Change) -> Iterator[pl.DataFrame]:
        """What `make` makes of each row of `table`, each in a task of its own, as they get done."""
        ...

    def grouped(self, table: pl.DataFrame, make: Change, by: str, reduce: Change) -> Iterator[pl.DataFrame]:
        """What `reduce` makes of all rows that agree in column `by`, of those that `make` makes of each row of `table`."""
        ...


@dataclass(frozen=True)
class Batch:
    """Some neighbouring rows of one part file."""

    part: Path
    first_row: int
    rows: int


def transform_of(stage: str) -> Callable[..., Any]:
    return importlib.import_module(f"stages.{stage}.transform").transform  # type: ignore[no-any-return]


def job_of(stage: str) -> Callable[..., Any]:
    return importlib.import_module(f"stages.{stage}.job").run  # type: ignore[no-any-return]


def split_into_batches(folder: Path, batch_rows: int, workers: int = 1) -> list[Batch]:
    """The rows of a sealed table in batches of at most `batch_rows`, and of about BATCH_BYTES; none crosses a part.

    Several workers get several batches each, smaller ones towards the end, so that none works on while the others wait.
    """
    from pyarrow.parquet import read_metadata  # 20 MiB, of which a job has no use

    parts = [(part, read_metadata(part)) for part in sorted(folder.glob("part-*.parquet"))]
    left = sum(facts.num_rows for _, facts in parts)
    batches = []
    for part, facts in parts:
        unpacked = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
        most = max(1, min(batch_rows, BATCH_BYTES * facts.num_rows // max(unpacked, 1)))
        start = 0
        while start < facts.num_rows:
            share = most if workers == 1 else max(left // (SHARES_PER_WORKER * workers), WORTHWHILE_ROWS)
            rows = min(most, share, facts.num_rows - start)
            batches.append(Batch(part, start, rows))
            start, left = start + rows, left - rows
    return batches or [Batch(part, 0, 0) for part, _ in parts[:1]]


class Work(NamedTuple):
    """What becomes of the rows of a batch."""

    stage: Stage
    params: Params
    earlier: Earlier | None = None  # a result from which rows that are the same are taken
    prepared: Path | None = None  # what the transform needs besides, made by another process


def run_rows(work: Work, batches: Sequence[Batch], spool: Path, *, workers: int, progress: Progress) -> None:
    """Runs a `rows` transform over all batches; each output's rows are left as `spool`/<output>/<batch>.arrow."""
    total, done = sum(batch.rows for batch in batches), 0
    for name in table_outputs(work.stage):
        (spool / name).mkdir(parents=True)
    progress(done, total, "rows")
    for rows in _finished_batches(work, batches, spool, min(workers, len(batches))):
        done += rows
        progress(done, total, "rows")


def table_outputs(stage: Stage) -> tuple[str, ...]:
    """The outputs of a stage that its transform returns: the fields of the NamedTuple, all of them tables."""
    return tuple(name for name in stage.outputs if load_schema(name).kind == "table")


def _finished_batches(work: Work, batches: Sequence[Batch], spool: Path, workers: int) -> Iterator[int]:
    """Runs each batch somewhere; the rows of each as it gets done."""
    here = partial(run_batch, work, spool)
    numbered = list(enumerate(batches))
    if_one_dies = (
        f"stage {work.stage.name}: a worker process died, probably killed for memory; "
        f"run again with fewer --workers or a smaller --batch-rows"
    )
    if cluster := cluster_in_use():
        with _told(if_one_dies):
            there = partial(run_batch, prepared_for_others(work, spool), spool)
            yield from _run_on_cluster(cluster, partial(_run_listed, there), numbered)
    elif workers <= 1:
        yield from (here(number, batch) for number, batch in numbered)
    elif _share_process(work, workers):
        os.environ.update(WORKER_ENVIRONMENT)
        with _ended(ThreadPoolExecutor(workers - 1)) as pool:
            yield from here_and_there(Workers(pool, workers - 1), numbered, here)
    else:
        with worker_pool(workers - 1, if_one_dies) as pool:
            for _ in range(workers - 1):
                pool.submit(transform_of, work.stage.name)  # imports while this process prepares
            there = partial(run_batch, prepared_for_others(work, spool), spool)
            yield from here_and_there(Workers(pool, workers - 1), numbered, here, there)


def _share_process(work: Work, workers: int) -> bool:
    """Whether the workers are threads, which need no second copy of what is prepared, and start at once."""
    return workers <= THREADS and work.stage.prepares and bool(_prepare(work).leaves_lock)


class Workers(NamedTuple):
    """Processes beside this one, or threads of it, started when they first get some work."""

    pool: Executor
    others: int


def here_and_there(
    workers: Workers,
    tasks: Iterable[tuple[Any, ...]],
    here: Callable[..., Made],
    there: Callable[..., Made] | None = None,
) -> Iterator[Made]:
    """What `here` makes of tasks in this thread and `there`, the same if not given, in others, as they get done: this
    one works as well, as a new process imports for a while before it begins.
    """
    waiting, given = iter(tasks), set[Future[Made]]()
    while True:
        given.update(
            workers.pool.submit(there or here, *task) for task in islice(waiting, AHEAD * workers.others - len(given))
        )
        if own := next(waiting, None):
            yield here(*own)
        elif not given:
            return
        done, given = wait(given, timeout=0 if own else None, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _run_on_cluster(cluster: Cluster, run: Change, numbered: Sequence[tuple[int, Batch]]) -> Iterator[int]:
    table = pl.DataFrame([{"number": number, **asdict(batch), "part": str(batch.part)} for number, batch in numbered])
    yield from (int(done["rows"].sum()) for done in cluster.mapped(table, run))


def _run_listed(run: Callable[[int, Batch], int], listed: pl.DataFrame) -> pl.DataFrame:
    """Runs the batches of a table, which comes back."""
    for number, part, first_row, rows in listed.select("number", "part", "first_row", "rows").iter_rows():
        run(number, Batch(Path(part), first_row, rows))
    return listed


@contextmanager
def worker_pool(workers: int, if_one_dies: str) -> Iterator[Executor]:
    """Workers for calls that name files and leave files: of the engine in use.

    When the block ends early, calls that wait are dropped. Raises TryAgain with `if_one_dies` when a worker was killed.
    """
    with _told(if_one_dies), _ended(_new_pool(workers)) as pool:
        yield pool


@contextmanager
def _ended(pool: Executor) -> Iterator[Executor]:
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _told(if_one_dies: str) -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise TryAgain(if_one_dies) from error


def cluster_in_use() -> Cluster | None:
    """The cluster of the engine in use; None where workers are this machine's processes."""
    if _chosen.get() == LOCAL:
        return None
    # Not an import: which engine runs a stage is no part of what its result depends on.
    return importlib.import_module("stages.processes.ray_data").RayData(_workers.get(), WORKER_ENVIRONMENT)  # type: ignore[no-any-return]


def _new_pool(workers: int) -> Executor:
    if _chosen.get() == RAY:
        return importlib.import_module("stages.processes.ray_engine").RayPool(workers, WORKER_ENVIRONMENT)  # type: ignore[no-any-return]
    os.environ.update(WORKER_ENVIRONMENT)
    # Polars' threads do not survive a fork, so workers are spawned.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent, initargs=(os.getpid(),))


def _die_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def prepared_for_others(work: Work, folder: Path) -> Work:
    """The work for other processes: what this one prepared for the stage, they find in a file."""
    if not work.stage.prepares:
        return work
    return work._replace(prepared=hand_over(_prepare(work), folder / PREPARED))


def _prepare(work: Work) -> Any:
    """What the stage prepares, which it keeps for this process."""
    return importlib.import_module(f"stages.{work.stage.name}.preparation").prepare(work.params)


def run_batch(work: Work, spool: Path, number: int, batch: Batch) -> int:
    """One batch, in whichever process: rows in from the part file, rows out to the spool. Returns the rows read."""
    rows, transform = rows_of(batch), transform_of(work.stage.name)
    prepared = {"prepared": taken_over(work.prepared)} if work.prepared else {}

    def make(some: pl.DataFrame) -> dict[str, pl.DataFrame]:
        return work.stage.named(transform(some, params=work.params, **prepared))

    with no_search_for_cycles():
        made = work.earlier.beside(rows, make) if work.earlier else make(rows)
    write_spool(made, spool, number)
    return batch.rows


def rows_of(batch: Batch) -> pl.DataFrame:
    """The rows of a batch, in memory."""
    return pl.scan_parquet(batch.part, glob=False).slice(batch.first_row, batch.rows).collect()
