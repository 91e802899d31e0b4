"""What a name such as `latest`, a folder or a published version stands for: the rows of a data set, and how they came."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stages.errors import DataError, UsageError
from stages.execution.run_plan import PLAN
from stages.execution.runs import PUBLISHED, curated_datasets, find_run_folder, look_back, stage_outputs
from stages.pipeline import STAGES
from stages.schema import load_schema
from stages.store.storage import MANIFEST, RECEIPT, LocalStore, digest_of, read_json, read_manifest
from stages.store.tables import read_table

KEPT = ("conversations", "unique", "scored", "rated", "kept", "clean", "mixture")  # each holds rows of the one before
SET_ASIDE = tuple(stage.sets_aside for stage in STAGES.values() if stage.sets_aside)
LAST_SET_ASIDE = "refused"  # what tokenize took from the mixture; the examples that it made hold no texts


class Snapshot(NamedTuple):
    """The rows of one dataset, and the folders of every dataset that they came through."""

    name: str
    dataset: str
    rows: pl.LazyFrame
    folders: Mapping[str, Path]

    def table(self, dataset: str) -> pl.LazyFrame | None:
        """Another table on the way to these rows; None where it was not made or is not known."""
        return read_table(self.folders[dataset]) if dataset in self.folders else None


def find_snapshot(store: LocalStore, name: str) -> Snapshot:
    """A dataset folder, a result folder, a run (its name, its folder or `latest`), a published version, or `published`.

    Raises UsageError when it is none of them, or when it holds no table of conversations.
    """
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        return _of_dataset(name, folder)
    if (folder / RECEIPT).is_file():
        return _of_result(name, folder)
    if version := _published(store, name):
        return _of_curation(f"published {version[0][:12]}", {n: store.root / path for n, path in version[1].items()})
    try:
        run = look_back(find_run_folder(store, name))
    except UsageError as error:
        raise UsageError(
            f"{error}; a snapshot is also a dataset folder, a result folder or a published version"
        ) from error
    return _of_curation(run.name, {dataset: paths[0] for dataset, paths in stage_outputs(run).items()})


def _published(store: LocalStore, name: str) -> tuple[str, dict[str, str]] | None:
    """Version and datasets of what was published under that version, or under the beginning of it."""
    ref = store.read_ref(PUBLISHED)
    if ref and (name == "published" or (len(name) >= 6 and ref.version.startswith(name))):
        return ref.version, ref.facts["datasets"]
    if len(name) < 6 or not set(name) <= set("0123456789abcdef"):
        return None
    for plan in sorted(store.root.glob(f"runs/*/{PLAN}")):
        try:
            datasets = curated_datasets(look_back(plan.parent))
        except DataError:  # a damaged run published nothing that could be named
            continue
        if (version := digest_of(sorted(datasets.items()))).startswith(name):
            return version, datasets
    return None


def _of_curation(name: str, folders: Mapping[str, Path]) -> Snapshot:
    """The rows that a run ended with: those of its last table of conversations, without what tokenize refused."""
    dataset = next((kept for kept in reversed(KEPT) if kept in folders), None)
    if dataset is None:
        raise UsageError(f"{name} has made no table of conversations yet; run its stages first")
    rows = read_table(folders[dataset])
    if dataset == KEPT[-1] and LAST_SET_ASIDE in folders:
        rows = rows.join(read_table(folders[LAST_SET_ASIDE]).select("row_id"), on="row_id", how="anti")
    return Snapshot(name, dataset, rows, folders)


def _of_result(name: str, folder: Path) -> Snapshot:
    receipt = read_json(folder / RECEIPT)
    made = [dataset for dataset in receipt["outputs"] if _holds_conversations(dataset)]
    keeps = STAGES[receipt["stage"]].keeps
    if keeps == "examples":
        return _of_curation(name, _way_to(folder))
    if not made:
        raise UsageError(
            f"{name} is a result of {receipt['stage']}, which makes no conversations; give a dataset folder"
        )
    return _of_dataset(name, folder / (keeps if keeps and keeps in made else made[0]))


def _of_dataset(name: str, folder: Path) -> Snapshot:
    dataset = read_manifest(folder).dataset
    way = _way_to(folder.parent) if (folder.parent / RECEIPT).is_file() else {}
    if dataset == "examples" and KEPT[-1] in way:
        return _of_curation(name, way)
    if not _holds_conversations(dataset):
        raise UsageError(
            f"{name} is a dataset {dataset}, which holds no conversations; give one that does, such as mixture"
        )
    return Snapshot(name, dataset, read_table(folder), {**way, dataset: folder})


def _holds_conversations(dataset: str) -> bool:
    schema = load_schema(dataset)
    return schema.kind == "table" and {"row_id", "messages"} <= set(schema.dtypes)


def _way_to(result: Path) -> dict[str, Path]:
    """Every dataset that the result rests on, by its receipt and those of its inputs; the nearest of a name wins."""
    found: dict[str, Path] = {}
    waiting = [result]
    while waiting:
        folder = waiting.pop(0)
        receipt = read_json(folder / RECEIPT)
        found = {name: folder / name for name in receipt["outputs"]} | found
        inputs = [Path(path).parent for stated in receipt["inputs"].values() for path in stated["paths"]]
        waiting += [path for path in inputs if (path / RECEIPT).is_file()]
    return found
