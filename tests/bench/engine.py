"""Throughput of one `rows` stage under each engine with one and two workers, and whether all leave the same bytes.

    .venv/bin/python tests/bench/engine.py --source <raw file or folder> [--stage score] [--rows 50000]

Prints a Markdown table. The workers are started and warm before the clock, and how long that took stands beside it: a process pool
imports polars in each worker, Ray starts a cluster. Seconds are the best of --repeats. Other work on the machine counts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    import polars as pl

from stages.contract import Stage  # noqa: E402 - the script runs from anywhere
from stages.processes.engine import Batch, Work, run_batch  # noqa: E402

ENGINES = (("local", 1), ("local", 2), ("ray", 1), ("ray", 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "WORKERS", "TABLE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one[0], int(asked.one[1]), Path(asked.one[2]), asked.repeats)))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = first_rows(asked.source, asked.rows, Path(folder))
        print(
            "| engine | workers | start s | score s | rows/s | CPU s | rows per CPU s |\n|---|---|---|---|---|---|---|"
        )
        digests = set()
        for engine, workers in ENGINES:
            command = [sys.executable, __file__, "--source", asked.source, "--repeats", str(asked.repeats)]
            done = subprocess.run(
                [*command, "--one", engine, str(workers), str(table)], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            digests.add(found["digest"])
            print(
                f"| {engine} | {workers} | {found['start']:.1f} | {found['seconds']:.2f} | {found['rows'] / found['seconds']:,.0f} | {found['cpu']:.2f} | {found['rows'] / found['cpu']:,.0f} |"
            )
        print(f"\n{'the same bytes from all of them' if len(digests) == 1 else f'DIFFERENT BYTES: {digests}'}")


def first_rows(source: str, rows: int, folder: Path) -> Path:
    """The first conversations that ingest makes of `source`, as a Parquet file."""
    import polars as pl

    command = [
        sys.executable,
        "-m",
        "stages",
        "run",
        "ingest",
        "--input",
        f"raw={source}",
        "--output",
        str(folder / "in"),
        "--progress",
        "off",
    ]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    pl.read_parquet(folder / "in/conversations/*.parquet").head(rows).write_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def measure(engine: str, workers: int, table: Path, repeats: int) -> dict[str, object]:
    """Seconds of the stage's rows alone: neither opening and checking its input nor writing its output is counted."""
    from stages.pipeline import STAGES
    from stages.processes.engine import split_into_batches, using
    from stages.processes.spool import scan_spool
    from stages.schema import load_schema
    from stages.store.storage import write_manifest
    from stages.store.tables import read_given, write_table

    folder = Path(tempfile.mkdtemp(dir=table.parent))
    for name in ("unique", "scored"):
        (folder / name).mkdir()
    read, made = load_schema("unique"), load_schema("scored")
    rows = sum(write_table(read_given(table, read), read, folder / "unique").values())
    batches = split_into_batches(folder / "unique", 4096)
    seconds, cpu_seconds = [], []
    with using(engine, workers), Clock() as start, spread(workers) as timed:
        timed(STAGES["score"], batches[:1] * 2 * workers, folder / "warm")
        start.stop()
        for number in range(repeats):
            spool = folder / f"spool-{number}"
            with Clock() as clock:
                cpu_seconds.append(timed(STAGES["score"], batches, spool))
                clock.stop()
            seconds.append(clock.seconds)
    parts = write_table(scan_spool(spool / "scored", made), made, folder / "scored")
    digest = write_manifest(folder / "scored", "scored", "table", made.digest, parts).digest
    return {"start": start.seconds, "seconds": min(seconds), "cpu": min(cpu_seconds), "rows": rows, "digest": digest}


@contextmanager
def spread(workers: int) -> Iterator[Callable[[Stage, Sequence[Batch], Path], float]]:
    """What runs batches as the engine in use would and gives their CPU seconds."""
    import polars as pl

    from stages.processes.engine import cluster_in_use, worker_pool

    if cluster := cluster_in_use():

        def mapped(stage: Stage, batches: Sequence[Batch], spool: Path) -> float:
            table = pl.DataFrame(
                [{**asdict(batch), "part": str(batch.part), "number": n} for n, batch in enumerate(batches)]
            )
            return float(sum(done["cpu"].sum() for done in cluster.mapped(table, partial(run_listed, stage, spool))))

        yield mapped
        return
    with worker_pool(workers, "a worker died") as pool:
        yield lambda stage, batches, spool: sum(
            pool.map(partial(run_timed, stage, spool), batches, range(len(batches)))
        )


def run_listed(stage: Stage, spool: Path, listed: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    [batch] = listed.select("part", "first_row", "rows").rows()
    return pl.DataFrame({"cpu": [run_timed(stage, spool, Batch(Path(batch[0]), *batch[1:]), listed["number"][0])]})


def run_timed(stage: Stage, spool: Path, batch: Batch, number: int) -> float:
    """CPU seconds of one batch, in whichever process."""
    started = time.process_time()
    run_batch(Work(stage, stage.params()), spool, number, batch)
    return time.process_time() - started


class Clock:
    def __enter__(self) -> "Clock":
        self.started = time.perf_counter()
        return self

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self.started

    def __exit__(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    main()
