"""What the tests with real servers and containers share: the engine, and each image built once."""

from collections.abc import Callable

import pytest

from infra.container_engine import Engine
from infra.image_build import build_image
from real_engine import engine_or_skip
from stages.contract import Stage


@pytest.fixture(scope="session")
def engine() -> Engine:
    return engine_or_skip()


@pytest.fixture(scope="session")
def image_of(engine: Engine) -> Callable[[Stage], str]:
    """Builds the image of a stage when it is first asked for: even where nothing changed, that takes seconds."""
    built: dict[str, str] = {}

    def image_of(stage: Stage) -> str:
        if stage.image not in built:
            built[stage.image] = build_image(engine, stage, quiet=True)
        return built[stage.image]

    return image_of
