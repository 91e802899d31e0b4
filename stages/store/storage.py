"""Immutable results and the refs that name the current one. The only module that reads environment variables.

A result is a folder that holds one folder per dataset and `receipt.json`. A dataset folder holds its files and, written
last, `manifest.json` with the digest of each. Everything is built in staging and appears by one rename, so a reader
sees a whole result or none.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stages.errors import ConfigError, DataError, TryAgain
from stages.raw_files.source_files import file_digests
from stages.store.locks import lock, side_folder

MANIFEST = "manifest.json"
RECEIPT = "receipt.json"
ODD_NAMES = "backslashreplace"  # of folders need not be UTF-8: what Python makes of their bytes is then written as JSON reads it
FORBIDDEN_IN_NAMES = ("..", "\0", "#", "?", "\\")


class StoredFile(NamedTuple):
    name: str  # below the dataset folder
    bytes: int
    sha256: str
    rows: int | None  # of a table's part; None for any other file


class Manifest(NamedTuple):
    """What a dataset folder holds, and the digest that identifies it."""

    dataset: str
    kind: str
    schema_digest: str
    files: tuple[StoredFile, ...]

    @property
    def rows(self) -> int | None:
        return sum(f.rows or 0 for f in self.files) if self.kind == "table" else None

    @property
    def digest(self) -> str:
        """Of names and contents: equal data has an equal digest wherever and whenever it was made."""
        return digest_of([self.dataset, self.kind, [(f.name, f.sha256) for f in self.files]])


class Ref(NamedTuple):
    """A name for the current version of something, with the version that it replaced."""

    name: str
    version: str
    previous: str | None
    facts: dict[str, Any]


def setting(name: str, default: str) -> str:
    """The environment variable TEMPER_<name>, or `default`."""
    return os.environ.get(f"TEMPER_{name}") or default


def tracking_uri(store: Path | None) -> str:
    """Where MLflow lives: MLFLOW_TRACKING_URI, or a SQLite file in `store`; without either "", which means off."""
    beside = f"sqlite:///{(store / 'mlflow.db').absolute()}" if store else ""
    return os.environ.get("MLFLOW_TRACKING_URI") or beside


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors=ODD_NAMES)).hexdigest()


def check_name(name: str) -> str:
    """`name`, when it is safe as one part of a path; ConfigError otherwise."""
    if not name or name.startswith(("/", ".")) or "/" in name or any(part in name for part in FORBIDDEN_IN_NAMES):
        raise ConfigError(f"{name!r} cannot name anything in the store; use letters, digits, '-', '_' and '.'")
    return name


def write_json(path: Path, value: Any) -> None:
    """Writes `value` so that `path` holds the old content or the new, never a part, also after a power cut."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    part.write_text(text, encoding="utf-8", errors=ODD_NAMES)
    fsync(part)
    part.replace(path)
    fsync(path.parent)


def read_json(path: Path) -> Any:
    """The content of a JSON file of the store; DataError when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing from the store; run the stage that made it again") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}); delete its folder and run the stage again") from error


def fsync(path: Path) -> None:
    """Makes a file's bytes, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: Path, dataset: str, kind: str, schema_digest: str, rows: Mapping[str, int]) -> Manifest:
    """Seals a dataset folder: digests and syncs every file in it, and writes the manifest last."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    paths = [folder / name for name in names]
    for path in paths:
        fsync(path)
    digests = file_digests(paths)
    files = [
        StoredFile(name, path.stat().st_size, digest, rows.get(name))
        for name, path, digest in zip(names, paths, digests, strict=True)
    ]
    manifest = Manifest(dataset, kind, schema_digest, tuple(files))
    stated = manifest._asdict() | {
        "files": [f._asdict() for f in files],
        "rows": manifest.rows,
        "digest": manifest.digest,
    }
    write_json(folder / MANIFEST, stated)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a sealed dataset folder."""
    stated = read_json(folder / MANIFEST)
    try:
        files = tuple(StoredFile(**file) for file in stated["files"])
        return Manifest(stated["dataset"], stated["kind"], stated["schema_digest"], files)
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / MANIFEST} is damaged (no {error}); run the stage that made it again") from error


def verify_dataset(folder: Path) -> Manifest:
    """The manifest of a dataset whose every byte was just compared with it; DataError names the file that differs."""
    manifest = read_manifest(folder)
    paths = [folder / file.name for file in manifest.files]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing from the store; run the stage that made it again")
    for file, path, digest in zip(manifest.files, paths, file_digests(paths), strict=True):
        if path.stat().st_size != file.bytes or digest != file.sha256:
            raise DataError(f"{path} is damaged: its bytes differ from its manifest; run the stage that made it again")
    return manifest


@contextmanager
def staging(final: Path) -> Iterator[Path]:
    """A fresh folder beside `final`; what an earlier, killed attempt left of it is swept first.

    The caller holds the lock of `final` (see `lock`), so nobody else is staging it.
    """
    folder = side_folder(final) / "staging"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def commit(staged: Path, final: Path) -> None:
    """Makes a staged result appear at `final` by one rename; an older result there is moved out of the way first."""
    fsync(staged)
    replaced = side_folder(final) / "replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists() and any(final.iterdir()):
        final.rename(replaced)
    staged.rename(final)
    fsync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


class LocalStore:
    """Results under `root`/results/<stage>/<key>, refs under `root`/refs, runs under `root`/runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def result_folder(self, stage: str, key: str) -> Path:
        """The address of the result that `stage` has for `key`, made or not."""
        return self.root / "results" / check_name(stage) / check_name(key[:32])

    def run_folder(self, run: str) -> Path:
        return self.root / "runs" / check_name(run)

    def receipts(self) -> list[Path]:
        """The receipts of all results, oldest first."""
        found = self.root.glob(f"results/*/*/{RECEIPT}")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path))

    def read_ref(self, name: str) -> Ref | None:
        path = self.root / "refs" / f"{check_name(name)}.json"
        return Ref(**read_json(path)) if path.exists() else None

    def move_ref(self, name: str, *, expected: str | None, version: str, facts: Mapping[str, Any]) -> Ref:
        """Moves a ref from `expected` (None = it does not exist) to `version`, or raises TryAgain and changes nothing."""
        folder = self.root / "refs"
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder / name):
            current = self.read_ref(name)
            if (current.version if current else None) != expected:
                found = current.version[:12] if current else "nothing"
                raise TryAgain(
                    f"ref {name} names {found} and not {(expected or 'nothing')[:12]}: somebody else moved it; read it again"
                )
            ref = Ref(name, version, expected, dict(facts))
            write_json(folder / f"{name}.json", ref._asdict())
        return ref
