"""Every method: how much it trains, that it learns packed as padded, that what is saved is what was trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import get_peft_model
from pydantic import ValidationError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
)

from stages.errors import ConfigError, DataError
from stages.modelling.adapters import load_adapted
from stages.modelling.bottleneck import add_bottlenecks
from stages.modelling.models import load_model, quiet_peft, repeatable
from stages.train.adapter_settings import adapter_settings
from stages.train.batches import lay_out
from stages.train.isolation import check_isolation, check_loss_path
from stages.train.loss import loss_sum
from stages.train.methods import causal_model, load_trainable
from stages.train.stage import TrainParams
from tiny_methods import ADAPTERS, PROMPTS, SMALL
from tiny_model import make_model
from tiny_tokenizer import CHATML, make_tokenizer
from tiny_training import arrays, digests, random_examples, train

ROWS = random_examples(12)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("base"), tokenizer)


def build(base: Path, method: str, **params: Any) -> PreTrainedModel:
    """An untrained adapter of the method whose numbers are no longer those of its start."""
    given = TrainParams.model_validate({"method": method} | SMALL.get(method, {}) | params)
    text = list(range(40, 60))
    trained = load_trainable(base, AutoTokenizer.from_pretrained(base), given, torch.float32, text=text)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trained.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    return causal_model(trained).eval()


# ---- how much is trained


def llama_3b() -> PreTrainedModel:
    shape: dict[str, Any] = {
        "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
        "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True, "head_dim": 128,
    }  # fmt: skip
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(LlamaConfig(**shape))


# From the result files of PEFT's own benchmark; full is the size of Llama-3.2-3B.
PUBLISHED = [
    ("lora", {"target_modules": ["q_proj", "v_proj"], "lora_rank": 32}, 9_175_040),
    ("lora", {"target_modules": ["q_proj", "v_proj"], "lora_rank": 64}, 18_350_080),
    ("rslora", {"target_modules": ["q_proj", "v_proj"], "lora_rank": 64}, 18_350_080),
    ("dora", {"target_modules": ["q_proj", "v_proj"], "lora_rank": 32}, 9_289_728),
    ("lora", {"target_modules": ["gate_proj", "up_proj", "down_proj"], "lora_rank": 10}, 9_461_760),
    ("ia3", {}, 286_720),
    ("prefix", {"virtual_tokens": 200}, 11_468_800),
    ("prompt", {"virtual_tokens": 200}, 614_400),
]


@pytest.mark.parametrize(("method", "params", "expected"), PUBLISHED, ids=[f"{m} {n}" for m, _, n in PUBLISHED])
def test_as_many_weights_are_trained_as_is_published(method: str, params: dict[str, Any], expected: int) -> None:
    model = llama_3b()
    settings = adapter_settings(model, TrainParams.model_validate({"method": method} | params), train_embeddings=False)
    with torch.device("meta"), quiet_peft():
        adapted = get_peft_model(model, settings)
    assert sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad) == expected


def test_full_training_trains_every_weight_of_the_published_size() -> None:
    assert sum(weight.numel() for weight in llama_3b().parameters()) == 3_212_749_824


@pytest.mark.parametrize(("places", "per_layer"), [("layer", 1), ("blocks", 2)])
def test_bottlenecks_have_two_matrices_and_two_biases_each(places: Any, per_layer: int) -> None:
    model = llama_3b().requires_grad_(False)
    with torch.device("meta"):
        add_bottlenecks(model, 64, places)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert trained == 28 * per_layer * (2 * 3072 * 64 + 3072 + 64)


# ---- packed, padded and alone


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("method", ADAPTERS)
def test_no_example_sees_another_and_the_loss_reads_the_models_logits(base: Path, method: str, packing: bool) -> None:
    with repeatable(1):
        model, examples = build(base, method), arrays(ROWS)
        check_isolation(model, examples, packing=packing, dtype=torch.float32)
        check_loss_path(model, examples, dtype=torch.float32)


@pytest.mark.parametrize("method", ADAPTERS)
def test_packed_and_padded_rows_have_the_same_loss_and_gradient(base: Path, method: str) -> None:
    with repeatable(1):
        found = []
        for packing in (True, False):
            model, examples = build(base, method), arrays(ROWS)
            batches = lay_out(examples, [np.arange(len(ROWS))], packing=packing, pack_tokens=400)
            loss = sum(loss_sum(model, batch) for batch in batches)
            loss.backward()
            # A trained prompt lives beside the model, and its gradient is that of the decoder's input.
            weights = _holder(model).parameters()
            found.append((float(loss.detach()), {i: w.grad for i, w in enumerate(weights) if w.grad is not None}))
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
        assert found[0][1]
        for number, gradient in found[0][1].items():
            torch.testing.assert_close(gradient, found[1][1][number], rtol=1e-3, atol=1e-4)


def _holder(model: PreTrainedModel) -> torch.nn.Module:
    prompted = model.get_decoder().forward
    holder: torch.nn.Module = getattr(prompted, "adapted", model)
    return holder


# ---- trained, saved, loaded


@pytest.mark.parametrize("method", ADAPTERS)
def test_a_method_learns_and_what_it_saves_is_what_it_trained(base: Path, tmp_path: Path, method: str) -> None:
    # With dropout, to see that validation is without.
    params = {"method": method, "epochs": 6, "learning_rate": None, "lora_dropout": 0.1} | SMALL.get(method, {})
    trained = train(tmp_path, base, ROWS, **params)
    losses = trained.log["loss"].to_list()
    assert losses[-1] < losses[0] - (1e-4 if method in ("ia3", "p_tuning") else 1e-3)
    validation = arrays([row for row in ROWS if row["split"] == "validation"])
    with repeatable(1), torch.no_grad():
        loaded = load_adapted(base, trained.adapter, torch.float32)
        (batch,) = lay_out(validation, [np.arange(len(validation))], packing=True, pack_tokens=400)
        loss = float(loss_sum(loaded, batch)) / batch.supervised
    assert loss == pytest.approx(trained.facts["validation_loss"], rel=1e-5)
    assert str(tmp_path) not in (trained.adapter / "adapter_config.json").read_text()


@pytest.mark.parametrize("method", ["dora", "qlora", "ia3", "prefix", "p_tuning", "bottleneck"])
def test_the_same_seed_gives_the_same_adapter(base: Path, tmp_path: Path, method: str) -> None:
    runs = [train(tmp_path / str(i), base, ROWS, method=method, max_steps=2, **SMALL.get(method, {})) for i in range(2)]
    assert digests(runs[0].adapter) == digests(runs[1].adapter)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("method", ["ia3", "dora", "bottleneck"])
def test_new_tokens_are_trained_and_saved_with_the_adapter(
    tmp_path: Path, tokenizer: Path, method: str, is_tied: bool
) -> None:
    base = make_model(tmp_path / "base", tokenizer, tie_word_embeddings=is_tied)
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    tokens = len(AutoTokenizer.from_pretrained(bigger))
    rows = random_examples(10, tokens=tokens, end=tokens - 1)
    trained = train(tmp_path, base, rows, tokenizer=bigger, method=method, epochs=4, **SMALL.get(method, {}))
    validation = arrays([row for row in rows if row["split"] == "validation"])
    with repeatable(1), torch.no_grad():
        loaded = load_adapted(base, trained.adapter, torch.float32, tokens=tokens)
        (batch,) = lay_out(validation, [np.arange(len(validation))], packing=True, pack_tokens=400)
        loss = float(loss_sum(loaded, batch)) / batch.supervised
    assert loss == pytest.approx(trained.facts["validation_loss"], rel=1e-5)


@pytest.mark.parametrize("method", PROMPTS)
def test_virtual_tokens_alone_cannot_learn_new_tokens(tmp_path: Path, base: Path, method: str) -> None:
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    with pytest.raises(ConfigError, match=r"trains nothing but its virtual tokens.*use method=lora or full"):
        train(tmp_path / "run", base, ROWS, tokenizer=bigger, method=method)


def test_room_for_virtual_tokens_is_needed(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"longest has \d+ tokens and the model 12"):
        train(tmp_path, base, ROWS, method="prompt", virtual_tokens=500)


# ---- start and settings


def test_a_prompt_starts_as_text_and_a_prefix_as_what_the_base_makes_of_it(base: Path) -> None:
    text, ids = list(range(40, 60)), torch.arange(70, 80)[None]
    plain = load_model(base, torch.float32)
    with torch.no_grad():
        expected = plain(input_ids=torch.tensor([*text[:5], *ids[0].tolist()])[None]).logits[:, 5:]
        for method in ("prompt", "prefix"):
            given = TrainParams.model_validate({"method": method} | SMALL[method])
            trained = load_trainable(base, AutoTokenizer.from_pretrained(base), given, torch.float32, text=text)
            found = causal_model(trained).eval()(input_ids=ids, use_cache=False).logits
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "rslora", "dora", "ia3", "bottleneck"])
def test_a_new_adapter_changes_nothing(base: Path, method: str) -> None:
    given = TrainParams.model_validate({"method": method})
    trained = load_trainable(base, AutoTokenizer.from_pretrained(base), given, torch.float32)
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        found, plain = causal_model(trained).eval()(input_ids=ids).logits, load_model(base)(input_ids=ids).logits
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"method": "lora", "virtual_tokens": 3}, "method=lora has none"),
        ({"method": "prompt", "target_modules": ["q_proj"]}, "method=prompt has none"),
        ({"method": "prefix", "train_embeddings": True}, "leave it unset for prefix"),
        ({"method": "prefix", "gradient_checkpointing": True}, "which gradient_checkpointing drops"),
    ],
)
def test_settings_of_another_method_are_refused(params: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        TrainParams.model_validate(params)


def test_names_of_layers_that_are_not_there_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no linear layer named query; it has down_proj, gate_proj"):
        train(tmp_path, base, ROWS, method="lora", target_modules=["query"])


def test_an_adapter_of_a_base_in_four_bits_says_so(base: Path, tmp_path: Path) -> None:
    trained = train(tmp_path, base, ROWS, method="qlora", max_steps=1)
    stated = json.loads((trained.adapter / "base_quantization.json").read_text())
    assert stated["type"] == "nf4"
    assert "model.layers.0.self_attn.q_proj" in stated["layers"]
    beside = trained.facts["all_weights"] - trained.facts["trained_weights"]
    assert beside == load_model(base).num_parameters(), "weights in four bits are weights"
