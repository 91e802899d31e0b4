"""Which PEFT configuration a method is, for a given model."""

from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
)
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stages.errors import ConfigError
from stages.train.stage import LOW_RANK, TrainParams

TASK = "CAUSAL_LM"
# Keys, values, and the last layer of the feed-forward part. Source: Liu et al., 2022, section 3.3.
IA3_NAMES = ("k_proj", "v_proj", "down_proj")


def adapter_settings(model: PreTrainedModel, params: TrainParams, *, train_embeddings: bool) -> PeftConfig:
    """What PEFT is told; ConfigError when the model has no layers of the names that were asked for."""
    embeddings = embedding_names(model) if train_embeddings else []
    if params.method in LOW_RANK:
        return _low_rank(model, params, embeddings)
    if params.method == "ia3":
        return _scales(model, params, embeddings)
    kind = {"prefix": PrefixTuningConfig, "prompt": PromptTuningConfig, "p_tuning": PromptEncoderConfig}[params.method]
    # P-tuning's network is as wide as the model unless told otherwise.
    width = {"encoder_hidden_size": model.config.get_text_config().hidden_size} if params.method == "p_tuning" else {}
    return kind(task_type=TASK, num_virtual_tokens=params.virtual_token_count, **width)


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """All linear layers but the output matrix. Source: QLoRA, section 4: adapters on all of them match full training."""
    head = model.get_output_embeddings()
    return {n: m for n, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head}


def embedding_names(model: PreTrainedModel) -> list[str]:
    """The input matrix and the output matrix."""
    matrices = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [
        name.rsplit(".", 1)[-1] for matrix in matrices for name, module in model.named_modules() if module is matrix
    ]


def _low_rank(model: PreTrainedModel, params: TrainParams, embeddings: list[str]) -> LoraConfig:
    linear = linear_layers(model)
    targets = _targets(model, params) or sorted({name.rsplit(".", 1)[-1] for name in linear})
    return LoraConfig(
        task_type=TASK,
        r=params.lora_rank,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=targets,
        fan_in_fan_out=all(isinstance(layer, Conv1D) for layer in linear.values()),
        use_rslora=params.method == "rslora",
        use_dora=params.method == "dora",
        modules_to_save=embeddings or None,
        # PEFT 0.21 does so only where one of them is called embed_tokens or lm_head: naming the first alone leaves GPT-2's
        # output matrix as it was, so that new tokens would be read and never said.
        ensure_weight_tying=bool(embeddings) and _are_tied(model),
    )


def _are_tied(model: PreTrainedModel) -> bool:
    return bool(model.get_input_embeddings().weight is model.get_output_embeddings().weight)


def _scales(model: PreTrainedModel, params: TrainParams, embeddings: list[str]) -> IA3Config:
    """A feed-forward layer's inputs are scaled, every other layer's outputs."""
    kind, layers = model.config.get_text_config().model_type, linear_layers(model)
    endings = {name.rsplit(".", 1)[-1] for name in layers}
    targets = _targets(model, params)
    if targets:
        feedforward = [name for name in targets if _narrows(layers, name)]
    elif set(IA3_NAMES) <= endings:
        targets, feedforward = list(IA3_NAMES), [IA3_NAMES[-1]]
    else:
        targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind)
        feedforward = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(kind, [])
    if not targets:
        raise ConfigError(
            f"method=ia3 does not know which layers of a {kind} model hold keys, values and the feed-forward part, among "
            f"{', '.join(sorted(endings))}; name them in target_modules"
        )
    return IA3Config(
        task_type=TASK,
        target_modules=targets,
        feedforward_modules=feedforward,
        fan_in_fan_out=all(isinstance(layer, Conv1D) for layer in layers.values()),
        modules_to_save=embeddings or None,
    )


def _targets(model: PreTrainedModel, params: TrainParams) -> list[str] | None:
    if params.target_modules is None:
        return None
    layers = linear_layers(model)
    if missing := [name for name in params.target_modules if not any(_is_named(n, name) for n in layers)]:
        known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in layers}))
        raise ConfigError(f"target_modules: the model has no linear layer named {missing[0]}; it has {known}")
    return params.target_modules


def _is_named(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _narrows(layers: dict[str, nn.Module], name: str) -> bool:
    """Whether layers of that name have more inputs than outputs, as the last of a feed-forward part has."""
    layer = next(module for full, module in layers.items() if _is_named(full, name))
    shape = tuple(layer.get_parameter("weight").shape)
    inputs, outputs = shape if isinstance(layer, Conv1D) else shape[::-1]
    return bool(inputs > outputs)
