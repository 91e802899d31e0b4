"""Makes random adapters and merges them in a test, as the runner would call the stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from stages.merge.job import run
from stages.merge.stage import MergeParams
from stages.modelling.models import quiet_peft
from workbench import lend

TOKENS = 60
LINEAR = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")


def merge(folder: Path, base: Path, adapter: Path, examples: Path | None = None, **params: Any) -> Path:
    """Runs the stage; the folder of the merged model."""
    model = folder / "model"
    model.mkdir(parents=True)
    bench = lend(folder / "scratch", input_digests={"base": "b" * 64, "adapter": "a" * 64})
    run(
        base,
        adapter,
        examples=examples,
        model=model,
        params=MergeParams(**{"cpu_threads": 1} | params),
        workbench=bench,
    )
    return model


def make_adapter(
    folder: Path,
    model: PreTrainedModel,
    target_modules: Sequence[str] = LINEAR,
    *,
    save_embedding_layers: bool = False,
    **config: Any,
) -> Path:
    """An adapter with random numbers everywhere, as PEFT itself saves it."""
    with quiet_peft():
        settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}
        adapted = get_peft_model(model, LoraConfig(target_modules=list(target_modules), **settings | config))
        torch.manual_seed(1)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data += torch.randn_like(weight) * 0.1
        adapted.save_pretrained(folder, save_embedding_layers=save_embedding_layers)
    return folder
