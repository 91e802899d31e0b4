"""Which kernels a run computes with: decided on its own model and examples, before the first step."""

import logging

import numpy as np

from stages.errors import ConfigError
from stages.train.batches import Batch, packed
from stages.train.examples import Examples
from stages.train.gradients import Forward
from stages.train.isolation import RELATIVE_TOLERANCE, attention_difference
from stages.train.kernels import is_by_document, remove_attention
from stages.train.methods import causal_model, layers_of
from stages.train.stage import TrainParams

logger = logging.getLogger(__name__)


def settle_kernels(forward: Forward, examples: Examples, params: TrainParams) -> str:
    """Name of those that are used from here on: `plain`, `varlen` or `compiled`.

    ConfigError where others than plain ones were asked for by name and the model does not give the same with them.
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
    if params.kernels == "compiled":
        _compile(forward, packed(examples, np.zeros(1, dtype=np.int64)))
        return "compiled"
    return "varlen"


def _compile(forward: Forward, batch: Batch) -> None:
    from torch._dynamo.exc import TorchDynamoException  # takes seconds to load

    if not layers_of(causal_model(forward.model)):
        name = type(causal_model(forward.model)).__name__
        raise ConfigError(f"kernels=compiled: this model ({name}) does not say what its layers are; set kernels=varlen")
    forward.compile_layers()
    try:
        forward.loss_sum(batch)
    except TorchDynamoException as error:
        raise ConfigError(
            f"kernels=compiled: torch.compile does not get through this model here ({str(error).strip().splitlines()[0]}); on a "
            f"CPU it needs a C++ compiler; set kernels=varlen, or leave it unset"
        ) from error


def _refuse_others(model: str, apart: float, params: TrainParams) -> None:
    why = (
        "does not take it" if apart == float("inf") else f"gives hidden states that differ by {apart:.2g} of their size"
    )
    if params.kernels in ("varlen", "compiled"):
        raise ConfigError(
            f"kernels={params.kernels} needs attention within each document, and this model ({model}) {why}; leave kernels "
            f"unset, or set kernels=plain"
        )
    logger.info("plain attention: within each document only, this model (%s) %s", model, why)
