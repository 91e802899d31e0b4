"""Where the tests find the real data files that are not part of the project."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The path of a real data file or folder; skips the test where it is not there."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"needs the data file {name} in the folder shared/data beside the checkout")
    return path
