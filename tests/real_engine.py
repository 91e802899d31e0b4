"""The container engine for tests, or a skip that says what is missing."""

import pytest

from infra.container_engine import INSTALL, Engine, can_install, find_engine, require_engine

CONTAINER_SECONDS = 1800  # a first build fetches a base system and all packages


def engine_or_skip() -> Engine:
    """The engine; installed from Debian where we are root there, as `make image` does."""
    found = find_engine()
    if found is None and not can_install():
        pytest.skip(f"needs a container engine: Docker, or {' '.join(INSTALL)}")
    return found or require_engine()
