"""The training methods, and settings that make each of them small, for tests."""

from typing import Any

from stages.train.stage import LEARNING_RATES

ADAPTERS = [method for method in LEARNING_RATES if method != "full"]
PROMPTS = ["prefix", "prompt", "p_tuning"]
SMALL: dict[str, dict[str, Any]] = {
    **{method: {"virtual_tokens": 5} for method in PROMPTS},
    "bottleneck": {"bottleneck_size": 4},
}
