"""Tells whether a folder of the cache is still as it was written."""

import json
from pathlib import Path

from stages.store.checksums import checksum_of

SEAL = "seal.json"


def seal(folder: Path) -> None:
    """Writes down the size and the checksum of each file of a folder, which is not changed any more."""
    found = {path.name: _facts(path) for path in sorted(folder.iterdir())}
    (folder / SEAL).write_text(json.dumps(found))


def is_whole(folder: Path) -> bool:
    """Whether each file of a sealed folder is there and has its bytes."""
    try:
        stated = json.loads((folder / SEAL).read_bytes())
        return bool(stated) and all(_facts(folder / name) == facts for name, facts in stated.items())
    except (OSError, ValueError, AttributeError):
        return False


def _facts(path: Path) -> list[int]:
    return [path.stat().st_size, checksum_of(path)]
