"""Maps and shuffles tables as datasets of Ray Data: blocks of them lie on the nodes of a cluster, and functions go there.

A function gets and returns a Polars frame; rows travel between processes as Arrow. Where a dataset is too large for the
cluster's object store Ray spills it to disk.
"""

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from stages.processes.engine import Change
from stages.processes.ray_engine import connected

FAIL_AT_ONCE = {"max_retries": 0}  # Ray Data would begin again for ever with what has no room in memory


class RayData:
    """A `stages.processes.engine.Cluster`."""

    def __init__(self, workers: int, environment: Mapping[str, str]) -> None:
        self._ray = connected(workers, environment)
        self._data = importlib.import_module("ray.data")
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised, and told once
        context = self._data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.raise_original_map_exception = True
        warnings.filterwarnings("ignore", "`ray_remote_args`")  # the one way to say max_retries in Ray 2.60
        self.workers = max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def mapped(self, table: pl.DataFrame, make: Change) -> Iterator[pl.DataFrame]:
        return self._blocks(self._made(table, make)) if table.height else iter(())

    def grouped(self, table: pl.DataFrame, make: Change, by: str, reduce: Change) -> Iterator[pl.DataFrame]:
        if not table.height:
            return iter(())
        groups = self._made(table, make).groupby(by, num_partitions=2 * self.workers)
        return self._blocks(groups.map_groups(partial(_changed, reduce), batch_format="pyarrow", **FAIL_AT_ONCE))

    def _made(self, table: pl.DataFrame, make: Change) -> Any:
        rows = self._data.from_arrow([table[row].to_arrow() for row in range(table.height)])
        return rows.map_batches(partial(_changed, make), batch_format="pyarrow", batch_size=None, **FAIL_AT_ONCE)

    def _blocks(self, dataset: Any) -> Iterator[pl.DataFrame]:
        """Raises what a function raised; BrokenProcessPool where a process died, as a process pool does."""
        errors = self._ray.exceptions
        try:
            for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                if block.num_rows:  # an empty one may have no columns
                    yield pl.DataFrame(pl.from_arrow(block))
        except errors.RayTaskError as error:
            raise error.cause from error
        except errors.RayError as error:
            raise BrokenProcessPool(f"a task of Ray Data died: {error}") from error


def _changed(change: Change, block: pa.Table) -> pa.Table:
    return change(pl.DataFrame(pl.from_arrow(block))).to_arrow()
