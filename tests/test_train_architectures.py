"""Bases that cannot be trained as asked are refused before the first step, with what to set instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DeepseekV3Config,
    Llama4TextConfig,
    MambaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from stages.errors import ConfigError
from stages.train.adapter_settings import linear_layers
from stages.train.methods import Trainable, load_trainable
from stages.train.stage import TrainParams
from tiny_tokenizer import make_tokenizer

SHAPE: dict[str, Any] = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2}
ATTENTION: dict[str, Any] = SHAPE | {"intermediate_size": 64, "num_attention_heads": 4}
EXPERTS = DeepseekV3Config(
    **ATTENTION, num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1,
    moe_intermediate_size=16, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, v_head_dim=8, qk_nope_head_dim=8,
    first_k_dense_replace=1,
)  # fmt: skip
ROUTED = Llama4TextConfig(**ATTENTION, num_key_value_heads=2, head_dim=8, intermediate_size_mlp=64, num_local_experts=2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(make_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def build(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, **params: Any) -> Trainable:
    model = AutoModelForCausalLM.from_config(config)
    given = TrainParams.model_validate(params)
    return load_trainable(Path("base"), tokenizer, given, torch.float32, load=lambda *_: model)


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning")
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (EXPERTS, r"stacked weights of its experts \(down_proj, gate_up_proj\).*target_modules.*kv_b_proj, o_proj"),
        (MambaConfig(**SHAPE, state_size=8), r"method=lora does not fit MambaForCausalLM.*out_proj.*target_modules"),
        (ROUTED, "Llama4ForCausalLM does not say which part of it makes its hidden states"),
    ],
    ids=["experts", "state space", "hidden states"],
)
def test_a_base_whose_adapter_could_not_be_used_is_refused(
    tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        build(config, tokenizer, method="lora")


def test_beside_experts_the_layers_that_are_named_are_adapted(tokenizer: PreTrainedTokenizerBase) -> None:
    adapted = build(EXPERTS, tokenizer, method="lora", target_modules=["o_proj"])
    trained = {name.split(".")[-4] for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert trained == {"o_proj"}


def test_a_layer_that_gives_more_than_a_linear_one_is_none() -> None:
    layers = linear_layers(AutoModelForCausalLM.from_config(ROUTED))
    assert {name.rsplit(".", 1)[-1] for name in layers} >= {"q_proj", "down_proj"}
    assert not [name for name in layers if name.endswith("router")]
