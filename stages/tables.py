"""Writes tables in their one canonical form: sorted by key, in parts of equal rows, checked against their schema.

Two tables with the same rows have the same bytes, in whatever order, batches or processes the rows were made.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from stages.errors import DataError
from stages.schema import Schema, check_table, conform

PART_ROWS = 100_000  # bounds the memory of writing and checking one part


def read_table(folder: Path) -> pl.LazyFrame:
    """All parts of a sealed table, lazily, in key order."""
    return pl.scan_parquet(sorted(folder.glob("part-*.parquet")))


def write_table(spool: pl.LazyFrame, schema: Schema, folder: Path) -> dict[str, int]:
    """Writes `spool`'s rows in canonical form into `folder`; returns rows per part name.

    `spool` is read once per part, so it should scan files. Raises DataError when a row breaks the schema or a key
    stands twice.
    """
    first = schema.key[0]
    order = spool.select(first).collect().get_column(first).sort(nulls_last=False)
    parts: dict[str, int] = {}
    for number, rows in enumerate(_ranges(order)):
        part = spool.filter(_between(first, *rows)).collect().sort(schema.key, nulls_last=False)
        _refuse_doubled_keys(part, schema, str(folder.name))
        check_table(part, schema, folder.name)
        name = f"part-{number:05d}.parquet"
        part.write_parquet(folder / name, compression="zstd", compression_level=3, row_group_size=PART_ROWS // 4)
        parts[name] = part.height
    return parts


def _ranges(order: pl.Series) -> Iterator[tuple[Any, Any]]:
    """Lower (inclusive) and upper (exclusive) first-key values of each part; None where it is open."""
    cuts = order.gather_every(PART_ROWS).unique(maintain_order=True).to_list()[1:]
    yield from itertools.pairwise([None, *cuts, None])


def _between(column: str, lower: Any, upper: Any) -> pl.Expr:
    """Rows whose `column` lies in the range; nulls, which sort first, belong to the range without a lower bound."""
    value = pl.col(column)
    above = value.is_not_null() & (value >= lower) if lower is not None else pl.lit(value=True)
    below = value.is_null() | (value < upper) if upper is not None else pl.lit(value=True)
    return above & below


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
