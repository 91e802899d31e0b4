"""Calls a stage's code, and spreads the batches of a `rows` stage over processes with bounded memory."""

import ctypes
import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pyarrow.parquet as pq

from stages.contract import Params, Progress, Stage
from stages.errors import TryAgain
from stages.schema import load_schema

BATCH_BYTES = 1 << 24  # unpacked; bounds the memory of a worker where rows are long
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


def split_into_batches(folder: Path, batch_rows: int) -> list[Batch]:
    """The rows of a sealed table in batches of at most `batch_rows`, and of about BATCH_BYTES; none crosses a part."""
    batches = []
    for part in sorted(folder.glob("part-*.parquet")):
        facts = pq.read_metadata(part)
        unpacked = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
        step = max(1, min(batch_rows, BATCH_BYTES * facts.num_rows // max(unpacked, 1)))
        starts = range(0, facts.num_rows, step)
        batches += [Batch(part, start, min(step, facts.num_rows - start)) for start in starts]
    return batches or [Batch(part, 0, 0) for part in sorted(folder.glob("part-*.parquet"))[:1]]


def run_rows(
    stage: Stage, params: Params, batches: Sequence[Batch], spool: Path, *, workers: int, progress: Progress
) -> None:
    """Runs a `rows` transform over all batches; each output's rows are left as `spool`/<output>/<batch>.arrow."""
    total, done = sum(batch.rows for batch in batches), 0
    for name in table_outputs(stage):
        (spool / name).mkdir(parents=True)
    for rows in _finished_batches(stage, params, batches, spool, min(workers, len(batches))):
        done += rows
        progress(done, total, "rows")


def table_outputs(stage: Stage) -> tuple[str, ...]:
    """The outputs of a stage that its transform returns: the fields of the NamedTuple, all of them tables."""
    return tuple(name for name in stage.outputs if load_schema(name).kind == "table")


def _finished_batches(
    stage: Stage, params: Params, batches: Sequence[Batch], spool: Path, workers: int
) -> Iterator[int]:
    numbered = list(enumerate(batches))
    cluster = cluster_in_use()
    if workers <= 1 and cluster is None:
        yield from (run_batch(stage, params, batch, spool, number) for number, batch in numbered)
        return
    if_one_dies = (
        f"stage {stage.name}: a worker process died, probably killed for memory; "
        f"run again with fewer --workers or a smaller --batch-rows"
    )
    if cluster:
        table = pl.DataFrame(
            [{"number": number, **asdict(batch), "part": str(batch.part)} for number, batch in numbered]
        )
        with _told(if_one_dies):
            yield from (
                int(done["rows"].sum()) for done in cluster.mapped(table, partial(_run_listed, stage, params, spool))
            )
        return
    with worker_pool(workers, if_one_dies) as pool:
        futures = [pool.submit(run_batch, stage, params, batch, spool, number) for number, batch in numbered]
        yield from (future.result() for future in as_completed(futures))


def _run_listed(stage: Stage, params: Params, spool: Path, listed: pl.DataFrame) -> pl.DataFrame:
    """`run_batch` for the batches of a table, which comes back."""
    for number, part, first_row, rows in listed.select("number", "part", "first_row", "rows").iter_rows():
        run_batch(stage, params, Batch(Path(part), first_row, rows), spool, number)
    return listed


@contextmanager
def worker_pool(workers: int, if_one_dies: str) -> Iterator[Executor]:
    """Workers for calls that name files and leave files: of the engine in use.

    When the block ends early, calls that wait are dropped. Raises TryAgain with `if_one_dies` when a worker was killed.
    """
    pool = _new_pool(workers)
    with _told(if_one_dies):
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
    return importlib.import_module("stages.ray_data").RayData(_workers.get(), WORKER_ENVIRONMENT)  # type: ignore[no-any-return]


def _new_pool(workers: int) -> Executor:
    if _chosen.get() == RAY:
        return importlib.import_module("stages.ray_engine").RayPool(workers, WORKER_ENVIRONMENT)  # type: ignore[no-any-return]
    os.environ.update(WORKER_ENVIRONMENT)
    # Polars' threads do not survive a fork, so workers are spawned.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent, initargs=(os.getpid(),))


def _die_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def run_batch(stage: Stage, params: Params, batch: Batch, spool: Path, number: int) -> int:
    """One batch, in whichever process: rows in from the part file, rows out to the spool. Returns the rows read."""
    rows = _rows_of(batch)
    made = transform_of(stage.name)(rows, params=params)
    write_spool(made._asdict(), spool, number)
    return batch.rows


def _rows_of(batch: Batch) -> pl.DataFrame:
    return pl.scan_parquet(batch.part).slice(batch.first_row, batch.rows).collect()


def write_spool(tables: Mapping[str, pl.DataFrame | pl.LazyFrame], spool: Path, number: int = 0) -> None:
    """Leaves each table as an Arrow file that `write_table` can scan."""
    for name, table in tables.items():
        folder = spool / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"spool-{number:06d}.arrow"
        frame = table.collect() if isinstance(table, pl.LazyFrame) else table
        frame.write_ipc(path, compression="lz4")


def scan_spool(folder: Path) -> pl.LazyFrame:
    """All rows that were left for one output."""
    return pl.scan_ipc(sorted(folder.glob("spool-*.arrow")))
