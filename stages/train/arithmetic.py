"""Where and in which precision the model computes."""

from typing import NamedTuple

import torch

from stages.train.stage import TrainParams


class Arithmetic(NamedTuple):
    """With bfloat16, matrix products are rounded to it; weights that are trained and the loss stay float32."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def choose_arithmetic(device: torch.device, params: TrainParams) -> Arithmetic:
    """`auto` is bfloat16 on a GPU that has it and float32 everywhere else."""
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return Arithmetic(device, wanted.get(params.precision, torch.bfloat16 if has_bfloat16 else torch.float32))
