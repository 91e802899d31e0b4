"""Who may make a result now: locks that die with their holder, and folders that only one process sees."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def side_folder(final: Path) -> Path:
    """Where the unfinished state of `final` lives: beside it, hidden, on the same file system."""
    return final.parent / ".unfinished" / final.name


@contextmanager
def lock(final: Path) -> Iterator[None]:
    """Held while `final` is made; a second process with the same work waits, then finds it done. Dies with its holder."""
    path = side_folder(final) / "lock"
    with _opened_and_locked(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            _remove_empty(path.parent, path.parent.parent)


@contextmanager
def _opened_and_locked(path: Path) -> Iterator[None]:
    """Its last holder may remove the file, or its folder, at any moment before it is held: then the next try makes it."""
    import fcntl

    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except (FileNotFoundError, FileExistsError):
            if path.parent.is_file():  # otherwise mkdir met a folder that was gone when it looked again
                raise
            continue
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_same_file(file.fileno(), path):
                yield
                return


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return  # it still holds scratch that a retry will use, or somebody else's work


@contextmanager
def private_folder(near: Path) -> Iterator[Path]:
    """A folder in `near` for this process alone, gone when the block ends; those of killed processes are swept first."""
    import fcntl

    near.mkdir(parents=True, exist_ok=True)
    _sweep_private_folders(near)
    made = Path(tempfile.mkdtemp(dir=near, prefix=".new-"))
    held = os.open(made, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    folder = made.rename(near / made.name.replace(".new-", ".private-"))  # visible to sweepers only once it is held
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep_private_folders(near: Path) -> None:
    """Removes private folders that no living process holds: the lock of a killed one is free."""
    import fcntl

    for folder in near.glob(".private-*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
