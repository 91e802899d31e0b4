"""What one process made and others need: written once, read once by each of them."""

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any


def hand_over(value: Any, file: Path) -> Path:
    """Writes `value` where workers find it; a run reads only what itself wrote."""
    file.write_bytes(pickle.dumps(value))
    return file


@lru_cache(maxsize=1)
def taken_over(file: Path) -> Any:
    """What was handed over in `file`, unpacked once per process."""
    return pickle.loads(file.read_bytes())
