"""What is trained and what is saved, by method: every weight, or an adapter of one of the kinds."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from stages.errors import ConfigError
from stages.modelling.adapters import ADAPTER_WEIGHTS, QUANTISATION
from stages.modelling.bottleneck import add_bottlenecks, bottleneck_weights
from stages.modelling.models import ADAPTER_CONFIG, add_token_rows, load_model, quiet_peft, save_model, weights_folder
from stages.modelling.nf4 import BLOCK, SCALE_BLOCK, NF4Linear, quantise_layers
from stages.modelling.prompted import PromptedDecoder
from stages.modelling.served_model import BESIDE, BOTTLENECK
from stages.train.adapter_settings import adapter_settings, linear_layers
from stages.train.kernels import install_attention
from stages.train.stage import VIRTUAL_TOKENS, TrainParams

Trainable: TypeAlias = PreTrainedModel | PeftModel


def load_trainable(
    base: Path,
    tokenizer: PreTrainedTokenizerBase,
    params: TrainParams,
    dtype: torch.dtype,
    *,
    load: Callable[[Path, torch.dtype | None], PreTrainedModel] = load_model,
    text: Sequence[int] = (),
) -> Trainable:
    """The base with room for the tokenizer's tokens and, by method, an adapter; what is trained is float32.

    `load` gives the base: planning builds one from its config instead, without weights. `text` are token ids of the
    data, from which virtual tokens start; without them they start from the first tokens of the vocabulary.

    Raises ConfigError when the tokenizer has tokens that the base has no weights for and the method would not train them.
    """
    if weights_folder(base) != base:
        raise ConfigError(
            f"{base} is an adapter that stands beside its base; train that base ({BESIDE}), or a merged model"
        )
    model = load(base, torch.float32 if params.method == "full" else dtype)
    if model.get_decoder() is model:
        raise ConfigError(
            f"{type(model).__name__} does not say which part of it makes its hidden states, which the loss needs; choose "
            f"another base"
        )
    install_attention(model, params)
    added = add_token_rows(model, len(tokenizer))
    if params.method == "full":
        return model
    _refuse_untrained(added, params)
    return _with_adapter(model, params, text, train_embeddings=bool(added) or bool(params.train_embeddings))


def _refuse_untrained(added: int, params: TrainParams) -> None:
    if not added:
        return
    missing = f"the tokenizer has {added} tokens that the base has no weights for, and "
    if params.method in VIRTUAL_TOKENS:
        raise ConfigError(
            f"{missing}method={params.method} trains nothing but its virtual tokens, so they would never be learned; use "
            f"method=lora or full, or tokenize with the base's own tokenizer and a template of its tokens"
        )
    if params.train_embeddings is False:
        raise ConfigError(
            f"{missing}train_embeddings is off, so they would never be learned; leave train_embeddings unset, or tokenize "
            f"with the base's own tokenizer"
        )


def _with_adapter(
    model: PreTrainedModel, params: TrainParams, text: Sequence[int], *, train_embeddings: bool
) -> Trainable:
    torch.manual_seed(params.seed)
    if params.method == "bottleneck":
        return _with_bottlenecks(model, params, train_embeddings=train_embeddings)
    settings = adapter_settings(model, params, train_embeddings=train_embeddings)
    layers = linear_layers(model)
    if params.method == "qlora":
        quantise_layers(model, layers)
    adapted = _adapted(model, settings, params.method, sorted({name.rsplit(".", 1)[-1] for name in layers}))
    if params.method in VIRTUAL_TOKENS:
        _start_from_text(adapted, text)
        PromptedDecoder(adapted).install()
    _in_float32(adapted)
    return adapted


def _adapted(model: PreTrainedModel, settings: PeftConfig, method: str, layers: Sequence[str]) -> PeftModel:
    """PEFT's own model; ConfigError for layers that it cannot adapt, or only so that the result cannot be merged."""
    kind = type(model).__name__
    try:
        with quiet_peft():
            adapted = get_peft_model(model, settings)
    except ValueError as error:
        raise ConfigError(
            f"method={method} does not fit {kind}: {str(error).rstrip('. ')}; name others of its layers in "
            f"target_modules ({', '.join(layers)}), or use method=full"
        ) from error
    if experts := getattr(settings, "target_parameters", None):
        raise ConfigError(
            f"in {kind} PEFT also adapts the stacked weights of its experts ({', '.join(sorted(experts))}), and merge knows "
            f"no such update; name in target_modules only layers that do not share the experts' names, of {', '.join(layers)}"
        )
    return adapted


def _with_bottlenecks(model: PreTrainedModel, params: TrainParams, *, train_embeddings: bool) -> PreTrainedModel:
    model.requires_grad_(False)
    add_bottlenecks(model, params.bottleneck_size, params.bottleneck_places)
    trained = [*bottleneck_weights(model).values()]
    if train_embeddings:
        trained += [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    for weight in trained:
        weight.requires_grad_(True)
    _in_float32(model)
    return model


def _in_float32(model: nn.Module) -> None:
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


@torch.no_grad()
def _start_from_text(adapted: PeftModel, text: Sequence[int]) -> None:
    """Virtual tokens start as real ones: their embeddings, or what the base makes of them as keys and values.

    Random ones lie where the model has never been. Source: Lester et al., 2021, section 3.2; PEFT's benchmark for keys and
    values. P-tuning's start is its network's.
    """
    model, settings = adapted.get_base_model(), adapted.active_peft_config
    if settings.peft_type == "P_TUNING":
        return
    count = settings.num_virtual_tokens
    start = list(text) or list(range(model.get_input_embeddings().weight.shape[0]))
    ids = torch.tensor((start * -(-count // len(start)))[:count], device=model.device)
    weight = adapted.prompt_encoder["default"].embedding.weight
    if settings.peft_type == "PROMPT_TUNING":
        weight.copy_(model.get_input_embeddings()(ids))
        return
    cache = model.get_decoder()(input_ids=ids[None], use_cache=True).past_key_values
    halves = [half[0].transpose(0, 1) for layer in cache.layers for half in (layer.keys, layer.values)]
    if len({half.shape for half in halves}) > 1 or torch.stack(halves, dim=1).numel() != weight.numel():
        raise ConfigError(
            f"method=prefix needs layers with keys and values of one shape, and {type(model).__name__} has others; use "
            f"method=prompt"
        )
    weight.copy_(torch.stack(halves, dim=1).reshape(weight.shape))


def causal_model(model: Trainable) -> PreTrainedModel:
    """The model whose decoder and output matrix are called; an adapter's layers are inside it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def is_adapted(model: Trainable) -> bool:
    """Whether an adapter is trained, and not every weight."""
    return isinstance(model, PeftModel) or bool(bottleneck_weights(model))


def trained_weights(model: Trainable) -> dict[str, nn.Parameter]:
    """Name -> weight of everything that changes, each weight once."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def weight_count(model: Trainable) -> int:
    """All weights, those in four bits too, which are no parameters."""
    count: int = sum(weight.numel() for weight in model.parameters())
    for module in model.modules():
        if isinstance(module, NF4Linear):
            count += module.in_features * module.out_features
    return count


def save_full(model: PreTrainedModel, folder: Path, dtype: torch.dtype) -> None:
    """A model folder whose weights have the precision of the base."""
    save_model(model.to(dtype), folder)


def save_adapter(model: Trainable, folder: Path, base_digest: str) -> None:
    """An adapter folder that says nothing about this machine; its base is named by digest."""
    stated = {"base_model_name_or_path": base_digest, "inference_mode": True}
    tensors: dict[str, Tensor]
    if isinstance(model, PeftModel):
        tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
        config = model.peft_config["default"]
        stated = config.to_dict() | stated
        if tied := getattr(config, "modules_to_tie", None):
            # PEFT takes them out when it ties them, and without them would not tie them again.
            stated["modules_to_save"] = [*config.modules_to_save, *tied]
    else:
        tensors = dict(trained_weights(model))
        stated |= _bottleneck_settings(model)
    # A tied output matrix is the same tensor under two names, which safetensors refuses; PEFT expects both.
    save_file(
        {n: t.detach().cpu().clone().contiguous() for n, t in sorted(tensors.items())},
        folder / ADAPTER_WEIGHTS,
        {"format": "pt"},
    )
    # PEFT keeps names in sets, whose order differs from process to process.
    _write_json(folder / ADAPTER_CONFIG, {n: sorted(v) if isinstance(v, (set, list)) else v for n, v in stated.items()})
    if layers := [name for name, module in causal_model(model).named_modules() if isinstance(module, NF4Linear)]:
        names = sorted(name.removesuffix(".base_layer") for name in layers)
        _write_json(folder / QUANTISATION, {"type": "nf4", "block": BLOCK, "scale_block": SCALE_BLOCK, "layers": names})


def _bottleneck_settings(model: PreTrainedModel) -> dict[str, Any]:
    name, down = next((n, w) for n, w in bottleneck_weights(model).items() if n.endswith(".down.weight"))
    is_of_layer = name.split(".")[-4].isdigit()  # <number of the layer>.bottleneck.down.weight
    return {"peft_type": BOTTLENECK, "size": len(down), "places": "layer" if is_of_layer else "blocks"}


def _write_json(path: Path, stated: dict[str, Any]) -> None:
    path.write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")
