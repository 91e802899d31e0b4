"""What is trained and what is saved, by method: every weight, or low-rank updates of all linear layers."""

import json
from pathlib import Path
from typing import TypeAlias

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from stages.errors import ConfigError
from stages.models import add_token_rows, load_model, quiet_peft, save_model
from stages.train.stage import TrainParams

Trainable: TypeAlias = PreTrainedModel | PeftModel


def load_trainable(
    base: Path, tokenizer: PreTrainedTokenizerBase, params: TrainParams, dtype: torch.dtype
) -> Trainable:
    """The base with room for the tokenizer's tokens and, by method, an adapter; what is trained is float32.

    Raises ConfigError when train_embeddings is off and the tokenizer has tokens that the base has no weights for.
    """
    tokens = len(tokenizer)
    if params.method == "full":
        model = load_model(base, torch.float32)
        add_token_rows(model, tokens)
        return model
    model = load_model(base, dtype)
    added = add_token_rows(model, tokens)
    if added and params.train_embeddings is False:
        raise ConfigError(
            f"the tokenizer has {added} tokens that the base has no weights for, and train_embeddings is off, so they would "
            f"never be learned; leave train_embeddings unset, or tokenize with the base's own tokenizer"
        )
    return _with_adapter(model, params, train_embeddings=bool(added) or bool(params.train_embeddings))


def _with_adapter(model: PreTrainedModel, params: TrainParams, *, train_embeddings: bool) -> PeftModel:
    linear = _linear_layers(model)
    embeddings = _embedding_names(model) if train_embeddings else []
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=params.lora_rank,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=sorted({name.rsplit(".", 1)[-1] for name in linear}),
        fan_in_fan_out=all(isinstance(layer, Conv1D) for layer in linear.values()),
        modules_to_save=embeddings or None,
        ensure_weight_tying=len(embeddings) == 1,
    )
    torch.manual_seed(params.seed)
    with quiet_peft():
        adapted = get_peft_model(model, config)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return adapted


def _linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """All linear layers but the output matrix. Source: QLoRA, section 4: adapters on all of them match full training."""
    head = model.get_output_embeddings()
    return {n: m for n, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head}


def _embedding_names(model: PreTrainedModel) -> list[str]:
    """The input matrix, and the output matrix where it is another."""
    matrices = [model.get_input_embeddings(), model.get_output_embeddings()]
    if matrices[0].weight is matrices[1].weight:
        del matrices[1]
    return [
        name.rsplit(".", 1)[-1] for matrix in matrices for name, module in model.named_modules() if module is matrix
    ]


def causal_model(model: Trainable) -> PreTrainedModel:
    """The model whose decoder and output matrix are called; an adapter's layers are inside it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def trained_weights(model: Trainable) -> dict[str, nn.Parameter]:
    """Name -> weight of everything that changes, each weight once."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save_full(model: PreTrainedModel, folder: Path, dtype: torch.dtype) -> None:
    """A model folder whose weights have the precision of the base."""
    save_model(model.to(dtype), folder)


def save_adapter(model: PeftModel, folder: Path, base_digest: str) -> None:
    """A PEFT folder that says nothing about this machine; its base is named by digest."""
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    # A tied output matrix is the same tensor under two names, which safetensors refuses; PEFT expects both.
    save_file(
        {n: t.detach().cpu().clone().contiguous() for n, t in sorted(tensors.items())},
        folder / "adapter_model.safetensors",
        {"format": "pt"},
    )
    stated = model.peft_config["default"].to_dict() | {"base_model_name_or_path": base_digest, "inference_mode": True}
    # PEFT keeps names in sets, whose order differs from process to process.
    ordered = {name: sorted(value) if isinstance(value, (set, list)) else value for name, value in stated.items()}
    text = json.dumps(ordered, indent=2, sort_keys=True) + "\n"
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
