"""Bases of other families: trained as asked, or refused before the first step with what to set instead."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DeepseekV3Config,
    GPT2Config,
    GPTNeoXConfig,
    Llama4TextConfig,
    MambaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from stages.errors import ConfigError
from stages.modelling.adapters import load_adapted
from stages.modelling.models import copy_tokenizer, load_model
from stages.train.methods import Trainable, load_trainable
from stages.train.stage import TrainParams
from tiny_merge import merge
from tiny_tokenizer import CHATML, make_tokenizer
from tiny_training import random_examples, train

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


GPT = {"bos_token_id": 0, "eos_token_id": 0}


@pytest.mark.parametrize(
    "config",
    [GPT2Config(**GPT, n_embd=32, n_layer=2, n_head=4), GPTNeoXConfig(**ATTENTION, **GPT)],  # one matrix, and two
    ids=lambda config: config.model_type,
)
def test_matrices_of_any_name_learn_new_tokens_and_are_merged(tmp_path: Path, config: PreTrainedConfig) -> None:
    old = make_tokenizer(tmp_path / "tokenizer")
    new = make_tokenizer(tmp_path / "more", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    tokens = len(AutoTokenizer.from_pretrained(new))
    config.vocab_size = tokens - 1
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    copy_tokenizer(old, tmp_path / "base")
    rows = random_examples(10, tokens=tokens, end=tokens - 1)
    adapter = train(tmp_path, tmp_path / "base", rows, tokenizer=new, method="lora").adapter

    whole, base = load_adapted(tmp_path / "base", adapter), load_model(tmp_path / "base")
    read, said = whole.get_input_embeddings().weight, whole.get_output_embeddings().weight
    assert (said is read) == config.tie_word_embeddings
    assert not torch.equal(said[-1], base.get_output_embeddings().weight.mean(dim=0))
    merged = load_model(merge(tmp_path / "merged", tmp_path / "base", adapter))
    assert merged.config.tie_word_embeddings == config.tie_word_embeddings
    assert torch.equal(merged.get_output_embeddings().weight, said)
