"""Lists the files of a source that somebody else fills: safely, in a fixed order, and naming what cannot be read."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from stages.errors import UsageError

CHUNK_BYTES = 1 << 20
MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class SourceFile:
    """One file from outside. `problem` says why it cannot be read; then `sha256` is empty."""

    source: str  # the first-level folder it lies in, or the name of the root that was given
    name: str  # path below the root, with forward slashes
    path: Path
    sha256: str
    problem: str | None = None
    stamp: tuple[int, int] | None = None  # bytes and time of change before its digest was taken


class _Root(NamedTuple):
    """A folder that files are listed below."""

    folder: Path
    name: str

    @classmethod
    def of(cls, folder: Path) -> Self:
        return cls(folder, folder.resolve().name)

    def place(self, path: Path) -> tuple[str, str]:
        """Source and name of what lies below."""
        name = path.relative_to(self.folder).as_posix()
        return name.split("/")[0] if "/" in name else self.name, name


def stamp_of(path: Path) -> tuple[int, int]:
    """What differs once a file was written to: its size and the time of its last change."""
    facts = path.lstat()
    return facts.st_size, facts.st_mtime_ns


def list_source_files(roots: Sequence[Path], downloads: Path | None = None) -> list[SourceFile]:
    """Every file at or under `roots`, sorted by source and name; links, pipes and unreadable files carry a problem.

    A folder's first-level subfolders are sources of their own; files that lie directly in it, or a root that is a
    file, belong to the source named after the root. Hidden files are left out. Nothing outside the roots is opened.
    A root may be a pattern, or s3://bucket/prefix; then the files are fetched into `downloads`.
    Raises UsageError for a root that does not exist.
    """
    files = [
        file
        for number, root in enumerate(roots)
        for file in _list_root(root, downloads / f"{number:03d}" if downloads else None)
    ]
    return sorted(_with_digests(files), key=lambda file: (file.source, file.name))


def is_source(root: Path) -> bool:
    """Whether files may be listed at a root: it exists, is a pattern that matches something, or lies in S3."""
    if root.exists() or _is_in_s3(root):
        return True
    try:
        return any(_list_pattern(root))
    except UsageError:
        return False


def stated_root(root: Path) -> str:
    """A root as it may be written down for another process, in whichever folder."""
    return str(root) if _is_in_s3(root) else str(root.absolute())


def _is_in_s3(root: Path) -> bool:
    return root.parts[:1] == ("s3:",)


def _list_root(root: Path, downloads: Path | None) -> Iterator[SourceFile]:
    if _is_in_s3(root):
        yield from _fetched(root, downloads)
        return
    if not root.exists() and not root.is_symlink():
        yield from _list_pattern(root)
    elif not root.is_dir():
        yield _inspect(root, root.name.split(".")[0], root.name)
    else:
        yield from _list_folder(_Root.of(root), root)


def _fetched(root: Path, downloads: Path | None) -> list[SourceFile]:
    if downloads is None or len(root.parts) < 2:
        raise UsageError(f"source {root} cannot be fetched here; give s3://bucket/prefix as an input of a stage")
    from stages.raw_files.s3_source import fetch_files  # boto3 takes long to import

    return fetch_files(root, downloads)


def _list_pattern(pattern: Path) -> Iterator[SourceFile]:
    """Files that a pattern with *, ? or [] matches, and those below folders that it matches, as below the folder that
    the pattern starts in."""
    plain = next((number for number, part in enumerate(pattern.parts) if MAGIC.search(part)), None)
    root = Path(*pattern.parts[:plain])
    if plain is None or not root.is_dir():
        raise UsageError(f"source {pattern} does not exist; give an existing file or folder, or a pattern with *")
    matches = sorted(root.glob(str(Path(*pattern.parts[plain:]))))
    if not matches:
        raise UsageError(f"source {pattern} matches no file; give a pattern that does")
    within, listed = _Root.of(root), set[Path]()
    for path in matches:
        below = path.relative_to(root).parents
        if any((root / folder).is_symlink() for folder in below) or any(
            part.startswith(".") for part in path.relative_to(root).parts
        ):
            continue  # what lies behind a link is outside
        is_folder = path.is_dir() and not path.is_symlink()
        found = _list_folder(within, path) if is_folder else [_inspect(path, *within.place(path))]
        for file in found:
            if file.path not in listed:
                listed.add(file.path)
                yield file


def _list_folder(root: _Root, top: Path) -> Iterator[SourceFile]:
    unreadable: list[OSError] = []
    for folder, subfolders, names in os.walk(top, followlinks=False, onerror=unreadable.append):
        linked = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in linked)
        for name in sorted([*names, *linked]):
            if not name.startswith("."):
                path = Path(folder) / name
                yield _inspect(path, *root.place(path))
    for error in unreadable:
        path = Path(os.fsdecode(error.filename))
        source, name = map(_in_utf8, root.place(path))
        yield SourceFile(source, name, path, "", f"unreadable: {error.strerror}")


def _inspect(path: Path, source: str, name: str) -> SourceFile:
    mode, source, name = path.lstat().st_mode, _in_utf8(source), _in_utf8(name)
    if stat.S_ISLNK(mode):
        return SourceFile(source, name, path, "", "symbolic link")
    if not stat.S_ISREG(mode):
        return SourceFile(source, name, path, "", "not a regular file")
    return SourceFile(source, name, path, "")


def _in_utf8(name: str) -> str:
    """A name as tables and receipts can hold it: file names are bytes, and may be of another encoding."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _with_digests(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The same files with stamp and digest, or with the problem that reading them met."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(_with_digest, files))


def _with_digest(file: SourceFile) -> SourceFile:
    if file.problem or file.sha256:
        return file
    try:
        stamp = stamp_of(file.path)
        return replace(file, sha256=file_sha256(file.path), stamp=stamp)
    except OSError as error:
        return replace(file, problem=f"unreadable: {error.strerror}")


def file_digests(paths: Iterable[Path]) -> list[str]:
    """Hex SHA-256 of each file's bytes, of several files at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(file_sha256, paths))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
