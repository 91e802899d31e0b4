"""The folder in which one version of a stage's code keeps what it may need again, such as answers and sketches."""

import os
import shutil
import time
from pathlib import Path

UNUSED_SECONDS = 30 * 24 * 3600.0  # then nobody is likely to go back to that code


def open_cache(folder: Path) -> Path:
    """Makes `folder` and marks it as used; those beside it, of other code, go when long unused."""
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for other in folder.parent.iterdir():
        if time.time() - other.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    return folder
