"""Lists the files of a source that somebody else fills: safely, in a fixed order, and naming what cannot be read."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.errors import UsageError

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file from outside. `problem` says why it cannot be read; then `sha256` is empty."""

    source: str  # the first-level folder it lies in, or the name of the root that was given
    name: str  # path below the root, with forward slashes
    path: Path
    sha256: str
    problem: str | None = None
    stamp: tuple[int, int] | None = None  # bytes and time of change before its digest was taken


def stamp_of(path: Path) -> tuple[int, int]:
    """What differs once a file was written to: its size and the time of its last change."""
    facts = path.lstat()
    return facts.st_size, facts.st_mtime_ns


def list_source_files(roots: Sequence[Path]) -> list[SourceFile]:
    """Every file at or under `roots`, sorted by source and name; links, pipes and unreadable files carry a problem.

    A folder's first-level subfolders are sources of their own; files that lie directly in it, or a root that is a
    file, belong to the source named after the root. Hidden files are left out. Nothing outside the roots is opened.
    Raises UsageError for a root that does not exist.
    """
    files = [file for root in roots for file in _list_root(root)]
    return sorted(files, key=lambda file: (file.source, file.name))


def _list_root(root: Path) -> Iterator[SourceFile]:
    if not root.exists():
        raise UsageError(f"source {root} does not exist; give an existing file or folder")
    if not root.is_dir():
        yield _inspect(root, source=root.name.split(".")[0], name=root.name)
        return
    for folder, subfolders, names in os.walk(root, followlinks=False):
        linked = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in linked)
        for name in sorted([*names, *linked]):
            if not name.startswith("."):
                yield _inspect_below(root, Path(folder) / name)


def _inspect_below(root: Path, path: Path) -> SourceFile:
    name = path.relative_to(root).as_posix()
    source = name.split("/")[0] if "/" in name else root.resolve().name
    return _inspect(path, source=source, name=name)


def _inspect(path: Path, *, source: str, name: str) -> SourceFile:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return SourceFile(source, name, path, "", "symbolic link")
    if not stat.S_ISREG(mode):
        return SourceFile(source, name, path, "", "not a regular file")
    try:
        stamp = stamp_of(path)
        return SourceFile(source, name, path, file_sha256(path), stamp=stamp)
    except OSError as error:
        return SourceFile(source, name, path, "", f"unreadable: {error.strerror}")


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
