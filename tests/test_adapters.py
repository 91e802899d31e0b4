"""Adapters as they are served: beside their base, several of them on one, and as PEFT itself has them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config, LlamaConfig, PreTrainedModel, Qwen2Config

from stages.errors import ConfigError, DataError
from stages.modelling.adapters import AdapterSwitch, load_adapted
from stages.modelling.models import load_model, quiet_peft, repeatable
from stages.train.methods import causal_model, load_trainable
from stages.train.stage import TrainParams
from tiny_methods import PROMPTS, SMALL
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import random_examples, train

ROWS = random_examples(12)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("base"), tokenizer)


@pytest.mark.parametrize("config", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("method", PROMPTS)
def test_virtual_tokens_do_what_pefts_own_forward_does(tmp_path: Path, method: str, config: str) -> None:
    base = _architecture(tmp_path, config)
    model, ids = _untrained(base, method), torch.arange(10, 30).view(2, 10)
    ours = model(input_ids=ids, use_cache=False).logits
    prompted = model.get_decoder().forward
    prompted.remove()
    with torch.no_grad():
        theirs = prompted.adapted(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -10:]
        plain = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (ours - plain).abs().max() > 1e-3


def _architecture(folder: Path, name: str) -> Path:
    shape: dict[str, Any] = {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.1}
    wide = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    configs = {
        "llama": LlamaConfig(**shape, **wide, num_key_value_heads=2),
        "gpt2": GPT2Config(**shape, n_embd=32, n_layer=2, n_head=4),
        "qwen2": Qwen2Config(**shape, **wide, num_key_value_heads=2),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(configs[name]).save_pretrained(folder)
    return folder


class _Hundred:
    """As much of a tokenizer as is needed to know that there are no new tokens."""

    def __len__(self) -> int:
        return 100


def _untrained(base: Path, method: str) -> PreTrainedModel:
    given = TrainParams.model_validate({"method": method} | SMALL.get(method, {}))
    trained = load_trainable(base, _Hundred(), given, torch.float32, text=range(40, 60))  # type: ignore[arg-type]
    return causal_model(trained).eval()


@pytest.mark.parametrize("config", ["llama", "gpt2"])
@pytest.mark.parametrize("method", PROMPTS)
def test_generating_with_a_cache_is_generating_without(tmp_path: Path, method: str, config: str) -> None:
    model = _untrained(_architecture(tmp_path, config), method)
    ids = torch.tensor([[0, 0, 7, 8, 9], [11, 12, 13, 14, 15]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    model.generation_config = GenerationConfig(max_new_tokens=6, do_sample=False, pad_token_id=0)
    written = model.generate(input_ids=ids, attention_mask=mask)[:, 5:]
    for row, prompt in ((0, ids[0, 2:]), (1, ids[1])):
        found = prompt
        for _ in range(6):
            found = torch.cat([found, model(input_ids=found[None], use_cache=False).logits[0, -1:].argmax(-1)])
        assert written[row].tolist() == found[len(prompt) :].tolist()


@pytest.mark.parametrize("method", ["lora", "ia3", "prefix", "prompt", "p_tuning"])
def test_peft_itself_loads_the_adapter(base: Path, tmp_path: Path, method: str) -> None:
    trained = train(tmp_path, base, ROWS, method=method, max_steps=2, **SMALL.get(method, {}))
    ids = torch.arange(10, 30)[None]
    with torch.no_grad(), quiet_peft():
        ours = load_adapted(base, trained.adapter, torch.float32)(input_ids=ids).logits
        theirs = PeftModel.from_pretrained(load_model(base, torch.float32), str(trained.adapter))
        torch.testing.assert_close(theirs(input_ids=ids).logits[:, -20:], ours, rtol=1e-4, atol=1e-5)


def test_adapters_of_all_kinds_take_turns_on_one_base(base: Path, tmp_path: Path) -> None:
    folders = {
        method: train(tmp_path / method, base, ROWS, method=method, max_steps=3, **SMALL.get(method, {})).adapter
        for method in ("lora", "ia3", "prefix", "prompt", "bottleneck")
    }
    ids = torch.arange(10, 30)[None]
    with repeatable(1), torch.no_grad():
        plain = load_model(base, torch.float32)(input_ids=ids).logits
        alone = {
            name: load_adapted(base, folder, torch.float32)(input_ids=ids).logits for name, folder in folders.items()
        }
        switch = AdapterSwitch(load_model(base, torch.float32), folders)
        for name in ("lora", "prompt", "bottleneck", None, "prefix", "ia3", "lora", None):
            expected = plain if name is None else alone[name]
            assert torch.equal(switch.use(name)(input_ids=ids).logits, expected), name
    with pytest.raises(ConfigError, match="no adapter is named french; there are bottleneck, ia3, lora"):
        switch.use("french")


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
def test_adapters_with_tokens_of_their_own_or_a_base_in_four_bits_take_turns_with_others(
    tmp_path: Path, tokenizer: Path, is_tied: bool
) -> None:
    base = make_model(tmp_path / "base", tokenizer, tie_word_embeddings=is_tied)
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=["<|endoftext|>", "<|x|>", "<|y|>"], vocab_size=403)
    given: dict[str, dict[str, Any]] = {
        "lora": {"method": "lora"},
        "lora of 403 tokens": {"method": "lora", "tokenizer": bigger},
        "bottleneck of 403 tokens": {"method": "bottleneck", "tokenizer": bigger, **SMALL["bottleneck"]},
        "qlora": {"method": "qlora"},
    }
    folders = {name: train(tmp_path / name, base, ROWS, max_steps=2, **one).adapter for name, one in given.items()}
    ids = torch.arange(10, 30)[None]
    with repeatable(1), torch.no_grad():
        alone = {name: load_adapted(base, folder)(input_ids=ids).logits for name, folder in folders.items()}
        switch = AdapterSwitch(load_model(base), folders)
        plain = switch.use(None)(input_ids=ids).logits
        for name in ("lora of 403 tokens", "lora", "bottleneck of 403 tokens", "qlora", "lora", None, "qlora", None):
            expected = plain if name is None else alone[name]
            assert torch.equal(switch.use(name)(input_ids=ids).logits, expected), name
    assert alone["lora of 403 tokens"].shape[-1] == alone["bottleneck of 403 tokens"].shape[-1] == 403
    assert switch.model.config.vocab_size == plain.shape[-1] == 400


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_of_another_base_is_refused_and_the_base_is_what_it_was(
    tmp_path: Path, tokenizer: Path, method: str
) -> None:
    base = make_model(tmp_path / "base", tokenizer)
    wider = make_model(tmp_path / "wider", tokenizer, hidden=64)
    folder = train(tmp_path / "run", wider, ROWS, method=method, max_steps=1).adapter
    switch, ids = AdapterSwitch(load_model(base), {"other": folder}), torch.arange(10, 30)[None]
    with torch.no_grad(), repeatable(1):
        plain = switch.use(None)(input_ids=ids).logits
        with pytest.raises(DataError, match=r"size mismatch for .*Give the base that the adapter was trained on"):
            switch.use("other")
        assert torch.equal(switch.use(None)(input_ids=ids).logits, plain)
    assert not any("lora" in name for name, _ in switch.model.named_modules())
