"""Builds small tables for tests: conversations by hand, and any table from its schema."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from stages.schema import conform, load_schema
from stages.store.storage import write_manifest
from stages.store.tables import write_table


def row_id(name: str) -> str:
    """A row id that looks like ingest's: 32 hex digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def chat(*turns: str, roles: Sequence[str] = ("user", "assistant")) -> list[dict[str, Any]]:
    """Turns that alternate between `roles`."""
    return [{"role": roles[i % len(roles)], "content": text} for i, text in enumerate(turns)]


def conversation(name: str, *turns: str, **columns: Any) -> dict[str, Any]:
    """One row of `conversations`; its id comes from `name`."""
    return {"row_id": row_id(name), "source": "test", "messages": chat(*turns), **columns}


def table(dataset: str, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """`rows` as a table of that dataset, columns that may be missing filled in."""
    schema = load_schema(dataset)
    if not rows:
        return schema.empty()
    return conform(pl.DataFrame(rows, infer_schema_length=None).lazy(), schema, "test rows").collect()


def sealed(folder: Path, dataset: str, rows: Sequence[dict[str, Any]]) -> Path:
    """`rows` as a dataset folder with its manifest."""
    schema = load_schema(dataset)
    folder.mkdir(parents=True)
    write_manifest(
        folder, dataset, schema.kind, schema.digest, write_table(table(dataset, rows).lazy(), schema, folder)
    )
    return folder


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """`rows` as a JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def dataset_digests(result: Path) -> dict[str, str]:
    """Dataset -> digest of everything in a result folder."""
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in sorted(result.glob("*/manifest.json"))}
