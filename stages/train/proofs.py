"""What a run proves of its own model before the first step."""

import torch

from stages.train.examples import Examples
from stages.train.gradients import Gradients
from stages.train.invariance import check_invariance
from stages.train.isolation import check_isolation, check_loss_path
from stages.train.kernel_choice import settle_kernels
from stages.train.stage import TrainParams


def prove(
    gradients: Gradients, examples: Examples, params: TrainParams, dtype: torch.dtype
) -> tuple[str, dict[str, float]]:
    """The kernels that are used from here on, and what `check_invariance` found with them; ConfigError for a model that
    cannot be trained as asked. The model is in evaluation mode; no gradient is left behind."""
    forward = gradients.forward
    kernels = settle_kernels(forward, examples, params)
    forward(lambda model: check_isolation(model, examples, packing=params.packing, dtype=dtype))
    forward(lambda model: check_loss_path(model, examples, dtype=dtype))
    return kernels, check_invariance(gradients, examples, params, dtype, kernels=kernels)
