"""Temper: the tokenize stage's own code in the runner's batches, with workers where there are several cores."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from tokenize_timing import Made, asked, report

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.contract import DEFAULT_BATCH_ROWS
from stages.pipeline import STAGES
from stages.processes.engine import Work, run_rows, split_into_batches
from stages.schema import conform, load_schema
from stages.tokenize import preparation as preparation  # imports are not counted of any tool
from stages.tokenize import transform as transform
from stages.tokenize.stage import TokenizeParams

MEASURED = {"response_chars": 0, "response_words": 0, "repeated_trigram_share": 0.0, "symbol_share": 0.0}
MEASURED |= {"digit_share": 0.0, "url_count": 0}


def read_rows(corpus: Path) -> pl.LazyFrame:
    rows = pl.scan_ndjson(corpus).with_columns(pl.lit(value).alias(name) for name, value in MEASURED.items())
    return conform(rows, load_schema("mixture"), "bench")


def prepare() -> list[pl.LazyFrame]:
    corpus, folder, cores = asked()
    rows, params = read_rows(corpus), TokenizeParams(tokenizer=str(folder), template="chatml")
    place = Path(tempfile.mkdtemp())
    rows.sink_parquet(place / "part-00000.parquet")
    batches = split_into_batches(place, DEFAULT_BATCH_ROWS, cores)
    run_rows(Work(STAGES["tokenize"], params), batches, place / "spool", workers=cores, progress=lambda *_, **__: None)
    return [pl.scan_ipc(file) for file in sorted((place / "spool" / "examples").glob("*.arrow"))]


def rows_of(tables: list[pl.LazyFrame]) -> Iterator[Made]:
    for table in tables:
        chosen = table.sort("row_id").select("input_ids", "loss_mask").collect()
        for ids, mask in chosen.iter_rows():
            yield Made(ids, mask)


if __name__ == "__main__":
    report(prepare, rows_of)
