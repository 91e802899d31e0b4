from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    MptConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3NextConfig,
)

from stages.errors import ConfigError, DataError
from stages.modelling.models import repeatable
from stages.train.batches import lay_out
from stages.train.isolation import check_isolation, check_loss_path
from stages.train.loss import loss_sum
from tiny_model import make_config
from tiny_training import arrays, random_examples

SHAPE: dict[str, Any] = {
    "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
# Its linear attention layers carry state from token to token and do not look at positions.
RECURRENT = Qwen3NextConfig(
    **SHAPE, head_dim=8, num_key_value_heads=2, linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=8,
    linear_value_head_dim=8, num_experts=0, layer_types=["linear_attention", "full_attention"], mlp_only_layers=[0, 1],
)  # fmt: skip
GPT2 = GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
EXAMPLES = arrays(random_examples(4, tokens=100))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with repeatable(cpu_threads=1):
        torch.manual_seed(0)
        yield


def make(config: PreTrainedConfig) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    return model.eval()


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize(
    "config", [make_config(100), GPT2, Qwen2Config(**SHAPE, num_key_value_heads=2)], ids=lambda c: c.model_type
)
def test_accepts_models_that_keep_examples_apart(config: PreTrainedConfig, packing: bool) -> None:
    model = make(config)
    check_isolation(model, EXAMPLES, packing=packing, dtype=torch.float32)
    check_loss_path(model, EXAMPLES, dtype=torch.float32)


def test_refuses_to_pack_for_a_model_with_recurrent_layers() -> None:
    model = make(RECURRENT)
    with pytest.raises(DataError, match=r"Qwen3NextForCausalLM.*set packing=false"):
        check_isolation(model, EXAMPLES, packing=True, dtype=torch.float32)
    check_isolation(model, EXAMPLES, packing=False, dtype=torch.float32)


@pytest.mark.parametrize(
    "fault",
    [
        {"attention_mask": torch.ones(1, 1)},  # as a collator would add it: transformers then ignores the positions
        {"position_ids": None},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_trips_on_a_call_that_lets_examples_see_each_other(
    fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(make_config(100))
    decoder = model.get_decoder()
    right = decoder.forward

    def faulty(**arguments: Any) -> Any:
        changed = dict(fault)
        if changed.get("attention_mask") is not None:
            changed["attention_mask"] = changed["attention_mask"].expand(arguments["input_ids"].shape)
        return right(**(arguments | changed))

    monkeypatch.setattr(decoder, "forward", faulty)
    with pytest.raises(DataError, match="see each other"):
        check_isolation(model, EXAMPLES, packing=True, dtype=torch.float32)


@pytest.mark.parametrize(
    "config",
    [
        CohereConfig(**SHAPE, num_key_value_heads=4, logit_scale=0.0625),
        GraniteConfig(**SHAPE, num_key_value_heads=2, logits_scaling=8.0),
        Gemma2Config(**SHAPE, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.1),
        MptConfig(vocab_size=100, d_model=32, n_heads=4, n_layers=2, logit_scale="inv_sqrt_d_model"),
    ],
    ids=lambda c: c.model_type,
)
def test_what_a_model_does_to_its_logits_is_part_of_the_loss(config: PreTrainedConfig) -> None:
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    check_loss_path(model, EXAMPLES, dtype=torch.float32)

    (batch,) = lay_out(EXAMPLES, [np.array([0])], packing=True, pack_tokens=64)
    logits = model(input_ids=batch.input_ids, use_cache=False).logits[0]
    expected = torch.nn.functional.cross_entropy(logits[batch.predictors], batch.labels, reduction="sum")
    torch.testing.assert_close(loss_sum(model, batch), expected)


def test_refuses_a_model_that_changes_its_logits_where_the_loss_does_not_see_it() -> None:
    model = make(BertConfig(**SHAPE, is_decoder=True))
    with pytest.raises(ConfigError, match=r"BertLMHeadModel.*changes its logits after the output matrix"):
        check_loss_path(model, EXAMPLES, dtype=torch.float32)


def test_one_example_is_enough_to_check() -> None:
    check_isolation(make(make_config(100)), arrays(random_examples(1, tokens=100)), packing=True, dtype=torch.float32)
