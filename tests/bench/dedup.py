"""Near-duplicate removal side by side with other tools: seconds, memory, recall and wrong removals on planted truth.

    .venv/bin/python tests/bench/dedup.py --source <instruction records, JSON or JSON.gz> [--rows 52002 988038]
        [--peers rensa datasketch datatrove] [--folder work/bench]

Every tool runs as a process of its own on one core, from rows on disk to the ids that go; a peer gets an environment of
its own below the folder. Prints one Markdown table. With `--growth` it prints the cost by corpus size instead, and what
it costs to add 1 % of new rows, and draws both as `growth.svg` in the folder:

    .venv/bin/python tests/bench/dedup.py --growth --rows 52002 200000 500000 1000000 5000000 --source <records>

With `--templates 30` besides, its rows are made from so many templates, none in 5 % of the rows from 21 templates on.
Five million rows need about 6 GB of memory to be made up, 8 GB of disk with their sketches, and a quarter of an hour.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from dedup_corpus import Planted, conversation_texts, plant, row_id, templated, texts_of, write_conversations
from growth_curve import growth_curve

HERE = Path(__file__).resolve().parent
PEERS = {"rensa": "rensa_verified.py", "datasketch": "datasketch_lsh.py", "datatrove": "datatrove_minhash.py"}
ONE_CORE = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
MUST_GO, MUST_STAY = 0.85, 0.8


class Measured(NamedTuple):
    seconds: float
    cpu_seconds: float
    peak_mib: float
    removed: dict[str, str | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[52_002])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--folder", type=Path, default=Path("work/bench/dedup"))
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--templates", type=int, help="with --growth: rows that are made from so many templates")
    asked = parser.parse_args()
    grown: list[Grown] = []
    for rows in asked.rows:
        corpus = asked.folder / (f"{rows}-of-{asked.templates}" if asked.templates else str(rows))
        truth = _corpus(asked.source, rows, corpus, asked.templates)
        if not asked.growth:
            _print_comparison(corpus, truth, asked.peers, asked.folder)
            continue
        grown.append(_grown(corpus, rows))
        _print_growth(grown, asked.folder / "growth.svg")  # as far as it has come: the largest takes long


def _read(source: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(source, "rt") if source.suffix == ".gz" else source.open() as file:
        for record in json.load(file):
            prompt = "\n\n".join(text for text in (record["instruction"], record.get("input")) if text)
            yield prompt, record["output"]


def _corpus(source: Path, rows: int, folder: Path, templates: int | None) -> list[Planted]:
    """A corpus and what was planted, made once, by a process of its own: what is measured starts with its parent's peak."""
    if not (folder / "truth.json").exists():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            process.submit(_make_corpus, source, rows, folder, templates).result()
    return [Planted(*planted) for planted in json.loads((folder / "truth.json").read_text())]


def _make_corpus(source: Path, rows: int, folder: Path, templates: int | None) -> None:
    """Conversations, the same without their last 1 %, and what was planted."""
    read = list(_read(source))
    texts, truth = plant(list(templated(read, rows, templates) if templates else texts_of(read, rows)))
    write_conversations(texts, folder / "conversations")
    few = max(len(texts) // 100, 1)
    write_conversations(texts[:-few], folder / "before")
    (folder / "truth.json").write_text(json.dumps(truth))


def _rows_for_peers(corpus: Path) -> Path:
    """The same rows as JSONL, made once."""
    rows = corpus / "rows.jsonl"
    if not rows.exists():
        with rows.open("w") as file:
            for row_id, text in conversation_texts(corpus / "conversations"):
                file.write(json.dumps({"id": row_id, "text": text}) + "\n")
    return rows


def _print_comparison(corpus: Path, truth: list[Planted], peers: Sequence[str], folder: Path) -> None:
    print(f"\n| {corpus.name} rows | seconds | times ours | CPU s | peak MiB | removed | recall | wrongly removed |")
    print("|---|---|---|---|---|---|---|---|")
    ours = _temper(corpus, "conversations", fresh=True)
    _print_row("temper", ours, ours.seconds, truth)
    for peer in peers:
        try:
            python = _environment(peer, folder)
            measured = _measured([python, str(HERE / "peers" / PEERS[peer]), str(_rows_for_peers(corpus))], corpus)
        except subprocess.CalledProcessError as error:
            print(f"| {peer} | failed: {error} |")
            continue
        _print_row(peer, measured, ours.seconds, truth)


def _print_row(name: str, measured: Measured, ours: float, truth: list[Planted]) -> None:
    removed = measured.removed
    gone = set(removed)
    must_go = [pair for pair in truth if pair.similarity >= MUST_GO]
    found = sum(bool({row_id(pair.row), row_id(pair.original)} & gone) for pair in must_go)
    must_stay = [pair for pair in truth if pair.similarity < MUST_STAY]
    wrong = sum(row_id(pair.row) in gone or row_id(pair.original) in gone for pair in must_stay)
    print(
        f"| {name} | {measured.seconds:.1f} | {measured.seconds / ours:.1f} | {measured.cpu_seconds:.1f} | {measured.peak_mib:,.0f} "
        f"| {len(removed):,} | {found / max(len(must_go), 1):.4f} | {wrong} |",
        flush=True,
    )


class Grown(NamedTuple):
    """What one corpus cost."""

    rows: int
    full: Measured
    added: Measured  # the last 1 % of the rows came later


def _grown(corpus: Path, rows: int) -> Grown:
    """The cost of a corpus at once, and of its last 1 % when the rest is known."""
    full = _temper(corpus, "conversations", fresh=True)
    _temper(corpus, "before", fresh=True)
    return Grown(rows, full, _temper(corpus, "conversations", fresh=False))


def _print_growth(grown: Sequence[Grown], picture: Path) -> None:
    print(
        "\n| rows | CPU s | us a row | peak MiB | bytes a row | 1 % added, CPU s | of a full run | peak MiB | verdicts |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for rows, full, added in grown:
        same = "the same" if added.removed == full.removed else "OTHERS"
        print(
            f"| {rows:,} | {full.cpu_seconds:.1f} | {full.cpu_seconds / rows * 1e6:.1f} | {full.peak_mib:,.0f} "
            f"| {full.peak_mib * 2**20 / rows:,.0f} | {added.cpu_seconds:.1f} "
            f"| {added.cpu_seconds / full.cpu_seconds:.1%} | {added.peak_mib:,.0f} | {same} |"
        )
    seconds = {
        "everything at once": [(rows, full.cpu_seconds) for rows, full, _ in grown],
        "the last 1 % added": [(rows, added.cpu_seconds) for rows, _, added in grown],
    }
    memory = {"everything at once": [(rows, full.peak_mib) for rows, full, _ in grown]}
    picture.write_text(growth_curve({"CPU seconds by rows": seconds, "peak MiB by rows": memory}))
    print(f"\n{picture}", flush=True)


def _temper(corpus: Path, conversations: str, *, fresh: bool) -> Measured:
    cache = corpus / "cache"
    if fresh:
        subprocess.run(["rm", "-rf", str(cache)], check=True)
    return _measured(
        [sys.executable, str(HERE / "peers" / "temper.py"), str(corpus / conversations)], corpus, str(cache)
    )


def _measured(command: list[str], corpus: Path, *more: str) -> Measured:
    """Runs a command with the file for its verdict behind its arguments, on one core."""
    verdict = corpus / "removed.json"
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    log = (corpus / "log.txt").open("w")
    with (
        log,
        subprocess.Popen([*command, str(verdict), *more], env=os.environ | ONE_CORE, stdout=log, stderr=log) as process,
    ):
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[1])
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, cpu, usage.ru_maxrss / 1024, json.loads(verdict.read_text()))


def _environment(peer: str, folder: Path) -> str:
    """The interpreter of a peer's own environment, made when it is not there."""
    python = folder / "environments" / peer / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        locked = HERE / "requirements" / f"{peer}.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", locked], check=True)
    return str(python)


if __name__ == "__main__":
    main()
