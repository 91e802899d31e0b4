"""Finds files that run code when somebody opens them, by name and by their first bytes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.errors import DataError

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".keras")
CODE_SUFFIXES = (".py", ".pyc", ".so")
ZIP_MAGIC = b"PK\x03\x04"  # torch.save writes a zip file with a pickle in it
PICKLE_MAGIC = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def refuse_unsafe_files(folders: Iterable[Path]) -> None:
    """Raises DataError when a folder holds a pickle, an archive or code, under whatever name."""
    unsafe = [path for folder in folders for path in _unsafe_files(folder)]
    if unsafe:
        named = ", ".join(str(path) for path in unsafe[:5])
        raise DataError(
            f"{len(unsafe)} files can run code when they are loaded (first: {named}); "
            "a registered model holds safetensors, JSON and text only: save it as safetensors and leave these out"
        )


def _unsafe_files(folder: Path) -> Iterator[Path]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            start = file.read(4)
        if path.suffix.lower() in (*PICKLE_SUFFIXES, *CODE_SUFFIXES) or start.startswith((ZIP_MAGIC, *PICKLE_MAGIC)):
            yield path
