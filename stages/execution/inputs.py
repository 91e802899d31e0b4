"""Opens what a stage is given: sealed datasets, tables made by hand, models, and files from outside."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from stages.contract import Params, Stage
from stages.errors import ConfigError, DataError, UsageError
from stages.raw_files.source_files import list_source_files
from stages.schema import Schema, check_table, load_schema
from stages.store.identity import folder_digest
from stages.store.storage import MANIFEST, digest_of, verify_dataset, write_manifest
from stages.store.tables import read_given, write_table


@dataclass(frozen=True)
class Input:
    """One dataset as a stage gets it; its bytes were compared with their digests when it was opened."""

    schema: Schema
    paths: tuple[Path, ...]
    digest: str
    value: Any  # a folder for tables and models, a list of SourceFile for files
    rows: int | None = None


def refuse_odd_name(path: Path) -> None:
    """Raises UsageError for a folder of tables or results whose name is not UTF-8: not every library can open it."""
    named = os.fsencode(path).decode("utf-8", "backslashreplace")
    if named != str(path):
        raise UsageError(f"{named}: the name is not UTF-8; rename it, or give another path")


def open_inputs(stage: Stage, params: Params, given: Mapping[str, Sequence[Path]], imports: Path) -> dict[str, Input]:
    """All inputs that `stage` reads with `params`; tables made by hand are brought into canonical form under `imports`.

    Raises UsageError for inputs that are missing or unknown, all in one message.
    """
    known = {*stage.inputs, *stage.optional_inputs}
    needed = (*stage.inputs, *params.inputs_needed())
    missing = [f"lacks --input {name}=<path>" for name in needed if name not in given]
    unknown = [f"has no input {name!r}" for name in given if name not in known]
    if missing or unknown:
        raise UsageError(f"stage {stage.name} {', and '.join(missing + unknown)}; it reads {', '.join(sorted(known))}")
    read = {name: tuple(paths) for name, paths in given.items() if name in stage.inputs_read(params)}
    return {name: open_input(load_schema(name), paths, imports / name) for name, paths in read.items()}


def open_input(schema: Schema, paths: tuple[Path, ...], imports: Path) -> Input:
    """One input; `imports` is where a table made by hand may be written."""
    if schema.kind == "files":
        files = list_source_files(paths, imports)
        return Input(schema, paths, digest_of([(f.source, f.name, f.sha256, f.problem) for f in files]), files)
    if len(paths) != 1:
        raise UsageError(
            f"{schema.name} is one {schema.kind}, and {len(paths)} paths were given: {', '.join(map(str, paths))}"
        )
    path = paths[0]
    refuse_odd_name(path)
    if not path.exists():
        raise UsageError(f"{schema.name}: {path} does not exist; correct the path behind --input {schema.name}=")
    return _open_table(schema, path, imports) if schema.kind == "table" else _open_model(schema, path)


def _open_model(schema: Schema, folder: Path) -> Input:
    if not folder.is_dir():
        raise ConfigError(
            f"{schema.name}: {folder} is a file; give the folder of a model (config.json, *.safetensors, tokenizer)"
        )
    sealed = (folder / MANIFEST).exists()
    digest = verify_dataset(folder).digest if sealed else folder_digest(folder)
    return Input(schema, (folder,), digest, folder)


def _open_table(schema: Schema, path: Path, imports: Path) -> Input:
    if (path / MANIFEST).exists():
        manifest = verify_dataset(path)
        if manifest.dataset == schema.name:
            if manifest.schema_digest != schema.digest:
                _check_again(schema, path)
            return Input(schema, (path,), manifest.digest, path, manifest.rows)
    imports.mkdir(parents=True)
    rows = write_table(read_given(path, schema), schema, imports)
    manifest = write_manifest(imports, schema.name, schema.kind, schema.digest, rows)
    return Input(schema, (path,), manifest.digest, imports, manifest.rows)


def _check_again(schema: Schema, folder: Path) -> None:
    """The schema changed since the table was written, so that it was valid then says nothing now."""
    for part in sorted(folder.glob("part-*.parquet")):
        table = pl.read_parquet(part, glob=False)
        try:
            check_table(table, schema, f"{folder.name}/{part.name}")
        except DataError as error:
            raise DataError(
                f"{error}; it was made under an earlier schema: run the stage that made it again"
            ) from error
