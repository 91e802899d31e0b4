"""Temper as one calls it: `python -m stages run tokenize`, from the shell's point of view."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from tokenize_temper import read_rows
from tokenize_timing import Made, asked, report


def main() -> None:
    corpus, folder, cores = asked()
    place = Path(tempfile.mkdtemp())
    read_rows(corpus).write_parquet(place / "mixture.parquet")
    command = [
        sys.executable, "-m", "stages", "run", "tokenize", "--input", f"mixture={place / 'mixture.parquet'}",
        "--output", str(place / "made"), "--set", f"tokenizer={folder}", "--set", "template=chatml",
        "--workers", str(cores), "--progress", "off",
    ]  # fmt: skip
    report(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), lambda _: rows_of(place / "made"))


def rows_of(made: Path) -> Iterator[Made]:
    for part in sorted((made / "examples").glob("*.parquet")):
        for ids, mask in pl.read_parquet(part, columns=["input_ids", "loss_mask"]).iter_rows():
            yield Made(ids, mask)


if __name__ == "__main__":
    main()
