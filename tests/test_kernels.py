"""Faster kernels: the same hidden states, loss and gradient as plain attention; refused where they are not."""

from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from exact_gradients import by_hand, by_step, difference, make_gradients
from stages.errors import ConfigError
from stages.modelling.models import repeatable
from stages.train import kernels
from stages.train.batches import lay_out
from stages.train.gradients import Forward
from stages.train.invariance import check_invariance
from stages.train.isolation import attention_difference, check_isolation
from stages.train.kernel_choice import settle_kernels
from stages.train.kernels import install_attention, is_by_document
from stages.train.packing import best_fit_decreasing
from stages.train.stage import TrainParams
from tiny_model import make_config, make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import arrays, digests, random_examples, train

SHAPE: dict[str, Any] = {
    "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
WINDOW = 5  # tokens; most examples are longer
MODELS: list[PreTrainedConfig] = [
    make_config(100),
    Qwen2Config(**SHAPE),
    Qwen3Config(**SHAPE),
    MistralConfig(**SHAPE, sliding_window=WINDOW),
    Gemma3TextConfig(**SHAPE, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"]),
    GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
]
EXAMPLES = arrays([row | {"weight": 1.0 + n % 2} for n, row in enumerate(random_examples(12, tokens=100))])


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with repeatable(cpu_threads=1):
        torch.manual_seed(0)
        yield


def make(config: PreTrainedConfig, **params: Any) -> PreTrainedModel:
    """A random model with the kernels of `params` installed."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    install_attention(model, TrainParams(**params))
    return model


def forward_of(model: PreTrainedModel) -> Forward:
    return make_gradients(model, EXAMPLES).forward


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("config", MODELS, ids=lambda c: c.model_type)
def test_attention_by_document_gives_the_gradient_of_float64_reference(config: PreTrainedConfig, packing: bool) -> None:
    model = make(config)
    assert settle_kernels(forward_of(model), EXAMPLES, TrainParams(packing=packing)) == "varlen"
    check_isolation(model, EXAMPLES, packing=packing, dtype=torch.float32)
    packs = best_fit_decreasing(EXAMPLES.lengths, 128)
    batches = list(lay_out(EXAMPLES, packs, packing=packing, pack_tokens=128))
    assert difference(by_step(model, batches, EXAMPLES), by_hand(model, EXAMPLES)) < 5e-6


def test_gradient_checkpointing_knows_the_documents_when_it_computes_again() -> None:
    model = make(make_config(100)).train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    batches = list(lay_out(EXAMPLES, best_fit_decreasing(EXAMPLES.lengths, 128), packing=True, pack_tokens=128))
    assert difference(by_step(model, batches, EXAMPLES), by_hand(model, EXAMPLES)) < 5e-6


@pytest.mark.parametrize("lengths", [(WINDOW - 1, WINDOW), (WINDOW + 1,), (1, WINDOW + 1, 2 * WINDOW)])
def test_a_token_sees_those_of_its_document_within_the_window(lengths: tuple[int, ...]) -> None:
    tokens = sum(lengths)
    query, key, value = (torch.randn(1, heads, tokens, 8) for heads in (4, 2, 2))
    places, document = torch.arange(tokens), torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    back = places[:, None] - places
    sees = (document[:, None] == document) & (back >= 0) & (back < WINDOW)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=sees, enable_gqa=True).transpose(1, 2)
    documents = kernels.documents_of(lengths, torch.device("cpu"))
    found, _ = kernels.attend_by_document(
        torch.nn.Module(), query, key, value, None, documents=documents, sliding_window=WINDOW
    )
    torch.testing.assert_close(found, expected)


def test_generation_is_that_of_plain_attention() -> None:
    ids = torch.arange(3, 15)[None]
    fast, plain = make(make_config(100)), make(make_config(100), kernels="plain")
    plain.load_state_dict(fast.state_dict())
    assert is_by_document(fast)
    assert not is_by_document(plain)
    assert torch.equal(fast.generate(ids, max_new_tokens=8), plain.generate(ids, max_new_tokens=8))


def leaking(right: Any) -> Any:
    """Documents run together."""

    def attend(*given: Any, documents: Any = None, **named: Any) -> Any:
        if documents is not None:
            documents = documents._replace(lengths=(sum(documents.lengths),))
        return right(*given, documents=documents, **named)

    return attend


def blind(right: Any) -> Any:
    """As in a model whose layers do not hand on what they were told."""
    return lambda *given, documents=None, **named: right(*given, **named)


@pytest.mark.parametrize("fault", [leaking, blind])
def test_kernels_that_differ_are_left_by_auto_and_refused_by_name(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fault(kernels.attend_by_document)
    monkeypatch.setitem(kernels.AttentionInterface._global_mapping, kernels.NAME, broken)
    model = make(make_config(100))
    with pytest.raises(ConfigError, match=r"kernels=varlen needs .*LlamaForCausalLM.* set kernels=plain"):
        settle_kernels(forward_of(model), EXAMPLES, TrainParams(kernels="varlen"))
    assert settle_kernels(forward_of(model), EXAMPLES, TrainParams()) == "plain"
    assert not is_by_document(model)


def test_the_proof_before_the_first_step_compares_loss_and_gradient_with_plain_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, params = make(make_config(100)), TrainParams()

    def check() -> dict[str, float]:
        gradients = make_gradients(model, EXAMPLES)
        return check_invariance(gradients, EXAMPLES, params, torch.float32, kernels="varlen")

    assert check()["kernels"] < 1e-5
    monkeypatch.setitem(kernels.AttentionInterface._global_mapping, kernels.NAME, leaking(kernels.attend_by_document))
    with pytest.raises(ConfigError, match=r"kernels by .*try kernels=plain"):
        check()


def test_a_model_with_another_kind_of_attention_stays_plain() -> None:
    chunked = make_config(100)
    chunked.layer_types = ["chunked_attention", "full_attention"]
    assert not is_by_document(make(chunked))
    assert attention_difference(make(make_config(100)), EXAMPLES, packing=True) < 1e-5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kernels": "varlen", "method": "prefix"}, "kernels=varlen knows no virtual tokens"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainParams(**given)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_plain_and_varlen_train_the_same_and_the_receipt_says_which(tmp_path: Any, method: str) -> None:
    base = make_model(tmp_path / "base", make_tokenizer(tmp_path / "tokenizer"))
    made = {}
    for name in ("plain", "varlen", "auto"):
        (tmp_path / name).mkdir()
        made[name] = train(tmp_path / name, base, random_examples(20), method=method, kernels=name)
    assert [made[name].facts["kernels"] for name in made] == ["plain", "varlen", "varlen"]
    assert digests(made["auto"].weights) == digests(made["varlen"].weights)
    losses = [made[name].log["loss"].to_list() for name in ("plain", "varlen")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert "attn" not in (made["varlen"].weights / "config.json").read_text() if method == "full" else True
