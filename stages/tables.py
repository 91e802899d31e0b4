"""Writes tables in their one canonical form: sorted by key, in parts of equal rows, checked against their schema.

Two tables with the same rows have the same bytes, in whatever order, batches or processes the rows were made.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from stages.errors import DataError
from stages.schema import Schema, check_table, conform

PILE = ".pile"
BATCH_ROWS = 50_000  # read at once while rows are divided into parts
PART_ROWS = 100_000  # bounds the memory of writing and checking one part


def read_table(folder: Path) -> pl.LazyFrame:
    """All parts of a sealed table, lazily, in key order."""
    return pl.scan_parquet(sorted(folder.glob("part-*.parquet")))


def write_table(spool: pl.LazyFrame, schema: Schema, folder: Path) -> dict[str, int]:
    """Writes `spool`'s rows in canonical form into `folder`; returns rows per part name.

    `spool` is read twice, so it should scan files. Raises DataError when a row breaks the schema or a key stands twice.
    """
    order = spool.select(schema.key[0]).collect().to_series().sort(nulls_last=False)
    cuts = order.gather_every(PART_ROWS).unique(maintain_order=True)[1:]
    parts: dict[str, int] = {}
    for number, rows in enumerate(_divided(spool, cuts, folder)):
        part = rows.sort(schema.key, nulls_last=False)
        _refuse_doubled_keys(part, schema, str(folder.name))
        check_table(part, schema, folder.name)
        name = f"part-{number:05d}.parquet"
        part.write_parquet(folder / name, compression="zstd", compression_level=1, row_group_size=PART_ROWS // 4)
        parts[name] = part.height
    return parts


def _divided(spool: pl.LazyFrame, cuts: pl.Series, folder: Path) -> Iterator[pl.DataFrame]:
    """The rows below the first cut, then those from each cut up to the next, in one pass over `spool`."""
    if cuts.is_empty():
        yield spool.collect()
        return
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".parts-") as made:
        piles = [Path(made) / str(number) for number in range(len(cuts) + 1)]
        for pile in piles:
            pile.mkdir()
        for number, rows in enumerate(spool.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)):
            pile_of = cuts.search_sorted(rows[cuts.name], side="right")  # a null sorts first, and search_sorted agrees
            by_pile = rows.with_columns(pile_of.alias(PILE)).partition_by(PILE, as_dict=True, include_key=False)
            for (pile_number,), some in by_pile.items():
                some.write_ipc(piles[int(pile_number)] / f"{number:06d}.arrow", compression="lz4")
        for pile in piles:
            yield pl.scan_ipc(sorted(pile.iterdir())).collect()
            shutil.rmtree(pile)


def _refuse_doubled_keys(part: pl.DataFrame, schema: Schema, where: str) -> None:
    doubled = part.select(schema.key).filter(pl.struct(schema.key).is_duplicated())
    if doubled.height:
        named = ", ".join(map(str, doubled.unique(maintain_order=True).head(3).rows()))
        raise DataError(
            f"{where}: {doubled.height:,} rows share their key ({', '.join(schema.key)}; first: {named}); "
            f"every row of {schema.name} needs a key of its own"
        )


def read_given(path: Path, schema: Schema) -> pl.LazyFrame:
    """A table that somebody gives by hand, a JSONL or Parquet file or a folder of Parquet files, shaped to its schema."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"{path}: holds no manifest.json and no Parquet file; give a dataset folder, a .parquet or a .jsonl file"
        )
    try:
        given = pl.scan_parquet(files) if files[0].suffix == ".parquet" else _scan_jsonl(path, schema)
        return conform(given, schema, str(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as {schema.name}: {str(error).splitlines()[0]}; give JSONL or Parquet"
        ) from error


def _scan_jsonl(path: Path, schema: Schema) -> pl.LazyFrame:
    if path.suffix not in (".jsonl", ".ndjson"):
        raise DataError(f"{path}: not a table; give a dataset folder, a .parquet or a .jsonl file")
    if not path.stat().st_size:
        return schema.empty().lazy()
    # All rows decide the types: a column that is null in the first thousand is still a column.
    return pl.read_ndjson(path, infer_schema_length=None).lazy()
