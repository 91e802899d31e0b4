"""Which kernels a run computes with: decided on its own model and examples, before the first step."""

import logging

from stages.errors import ConfigError
from stages.train.examples import Examples
from stages.train.gradients import Forward
from stages.train.isolation import RELATIVE_TOLERANCE, attention_difference
from stages.train.kernels import is_by_document, remove_attention
from stages.train.methods import causal_model
from stages.train.stage import TrainParams

logger = logging.getLogger(__name__)


def settle_kernels(forward: Forward, examples: Examples, params: TrainParams) -> str:
    """Name of those that are used from here on: `plain` or `varlen`.

    ConfigError where `varlen` was asked for by name and the model does not give the same with it.
    """
    if params.kernels == "plain":
        return "plain"
    model = causal_model(forward.model)
    apart = float("inf")
    if is_by_document(model):
        apart = forward(lambda model: attention_difference(model, examples, packing=params.packing))
    if not apart <= RELATIVE_TOLERANCE[forward.arithmetic.dtype]:
        _refuse_others(type(model).__name__, apart, params)
        if is_by_document(model):
            remove_attention(model)
        return "plain"
    return "varlen"


def _refuse_others(model: str, apart: float, params: TrainParams) -> None:
    why = (
        "does not take it" if apart == float("inf") else f"gives hidden states that differ by {apart:.2g} of their size"
    )
    if params.kernels == "varlen":
        raise ConfigError(
            f"kernels=varlen needs attention within each document, and this model ({model}) {why}; leave kernels "
            f"unset, or set kernels=plain"
        )
    logger.info("plain attention: within each document only, this model (%s) %s", model, why)
