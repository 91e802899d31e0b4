"""Lends a job in a test what the runner lends it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.contract import Workbench


def say_nothing(done: int, total: int | None, unit: str, **facts: Any) -> None:
    """A progress line that nobody reads."""


def lend(
    scratch: Path, *, key: str = "0" * 64, tracking_uri: str = "", input_digests: Mapping[str, str] | None = None
) -> Workbench:
    """A workbench with one worker; `scratch` is made."""
    scratch.mkdir(parents=True, exist_ok=True)
    cache = scratch / "cache"
    cache.mkdir(exist_ok=True)
    return Workbench(scratch, cache, 1, tracking_uri, say_nothing, key, dict(input_digests or {}))
