"""Merges of every kind of adapter and of several architectures, against PEFT's own merge."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from rows import sealed
from stages.modelling.adapters import load_adapted
from stages.modelling.models import add_token_rows, load_model, quiet_peft
from tiny_merge import LINEAR, TOKENS, make_adapter, merge
from tiny_model import make_config, make_model, save_model
from tiny_tokenizer import make_tokenizer
from tiny_training import digests, random_examples, train

SHAPE: dict[str, Any] = {
    "vocab_size": TOKENS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.1,
}  # fmt: skip
GPT2 = GPT2Config(
    vocab_size=TOKENS, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0, initializer_range=0.1
)
ARCHITECTURES: dict[str, tuple[PreTrainedConfig, list[str]]] = {
    "gpt2": (GPT2, ["c_attn", "c_proj", "c_fc"]),
    "qwen2": (Qwen2Config(**SHAPE, num_key_value_heads=2), list(LINEAR)),
    "qwen3": (Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=16), list(LINEAR)),
    "gemma": (GemmaConfig(**SHAPE, num_key_value_heads=2, head_dim=16), list(LINEAR)),
    "phi3": (Phi3Config(**SHAPE, num_key_value_heads=2), ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    "gpt_neox": (GPTNeoXConfig(**SHAPE), ["query_key_value", "dense", "dense_h_to_4h"]),
    "opt": (
        OPTConfig(vocab_size=TOKENS, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
                  max_position_embeddings=64, word_embed_proj_dim=32),
        ["q_proj", "fc1", "fc2"],
    ),
    "mixtral": (MixtralConfig(**SHAPE, num_key_value_heads=2, num_local_experts=2), ["q_proj", "o_proj"]),
}  # fmt: skip


def save(config: PreTrainedConfig, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """With random biases and norms too, which new models have at 0 and 1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.1)
        model.to(dtype).save_pretrained(folder)
    return folder


def merged_by_peft(base: Path, adapter: Path, tokens: int = 0) -> dict[str, Tensor]:
    model = load_model(base, torch.float32)
    add_token_rows(model, tokens)
    with quiet_peft():
        adapted = PeftModel.from_pretrained(model, str(adapter))
        return dict(adapted.merge_and_unload().state_dict())


def assert_equals_peft(model: Path, base: Path, adapter: Path) -> None:
    expected, found = merged_by_peft(base, adapter), load_model(model).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=2e-6, msg=name)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(make_config(TOKENS, attention_bias=True, mlp_bias=True), tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_merges_as_peft_merges_it(tmp_path: Path, name: str, kind: str) -> None:
    config, targets = ARCHITECTURES[name]
    base = save(config, tmp_path / "base")
    if kind == "ia3":
        adapter = make_scales(tmp_path / "adapter", load_model(base), targets, targets[-1:])
    else:
        adapter = make_adapter(
            tmp_path / "adapter", load_model(base), targets, use_dora=kind == "dora", fan_in_fan_out=name == "gpt2"
        )
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


def make_scales(folder: Path, model: PreTrainedModel, targets: list[str], feedforward: list[str]) -> Path:
    with quiet_peft():
        fan_in_fan_out = model.config.model_type == "gpt2"
        adapted = get_peft_model(
            model,
            IA3Config(
                task_type="CAUSAL_LM", target_modules=targets, feedforward_modules=feedforward,
                fan_in_fan_out=fan_in_fan_out,
            ),
        )  # fmt: skip
        torch.manual_seed(1)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data += torch.randn_like(weight) * 0.1
        adapted.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "config",
    [
        {"rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 6}},
        pytest.param(  # half a name is none, and PEFT says so
            {"alpha_pattern": {"proj": 50, "q_proj": 1, ".*mlp.*": 30}, "rank_pattern": {"k_proj": 3}},
            marks=pytest.mark.filterwarnings(r"ignore:The following alpha_pattern keys .*\['proj'\]"),
        ),
        {"use_rslora": True, "alpha_pattern": {"v_proj": 3}},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"lora_bias": True, "target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"trainable_token_indices": [3, 50]},
        {"trainable_token_indices": {"embed_tokens": [3, 50], "lm_head": [4]}},
        {"use_dora": True, "use_rslora": True, "target_modules": [*LINEAR, "lm_head"]},
        # As PEFT saves it unasked: both matrices themselves, beside their updates.
        {"target_modules": ["embed_tokens", "lm_head"], "save_embedding_layers": True},
    ],
    ids=lambda config: " ".join(config),
)
def test_every_setting_merges_as_peft_merges_it(base: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    adapter = make_adapter(tmp_path / "adapter", load_model(base), **config)
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["embed_tokens", "lm_head"]},
    ],
    ids=["resized", "resized and trained whole", "resized and updated"],
)
def test_embeddings_that_peft_saved_because_they_were_resized_are_merged(
    base: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    model = load_model(base)
    model.resize_token_embeddings(TOKENS + 4, pad_to_multiple_of=8, mean_resizing=False)
    adapter = make_adapter(tmp_path / "adapter", model, save_embedding_layers=True, **config)
    made, expected = load_model(merge(tmp_path, base, adapter)), dict(merged_by_peft(base, adapter, tokens=64))
    assert made.config.vocab_size == 64
    for name, tensor in made.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=2e-6, msg=name)


def test_rows_that_were_trained_of_two_tied_matrices_are_saved_once(tmp_path: Path) -> None:
    base = save(make_config(TOKENS, tie_word_embeddings=True), tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", load_model(base), ["q_proj"], trainable_token_indices=[3, 50])
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


def test_a_base_of_several_precisions_is_judged_by_the_coarsest(base: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    load_model(base).save_pretrained(mixed)
    coarse = {"q_proj": torch.bfloat16, "v_proj": torch.float16}
    tensors = {
        name: tensor.to(next((d for part, d in coarse.items() if part in name), tensor.dtype))
        for name, tensor in load_file(mixed / "model.safetensors").items()
    }
    save_file(tensors, mixed / "model.safetensors", {"format": "pt"})
    model = merge(tmp_path, mixed, make_adapter(tmp_path / "adapter", load_model(base)))
    assert {n: t.dtype for n, t in load_file(model / "model.safetensors").items()} == {
        n: t.dtype for n, t in tensors.items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_rounding_takes_from_each_change_is_told(base: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    stored = tmp_path / "stored"
    load_model(base, dtype).save_pretrained(stored)
    adapter = make_adapter(tmp_path / "adapter", load_model(stored, torch.float32), ["q_proj"])
    model = merge(tmp_path, stored, adapter)
    told = json.loads((model / "merge_certificate.json").read_text())["rounding"]
    if dtype == torch.float32:
        assert told == {}
        return
    exact, name = merged_by_peft(stored, adapter), "model.layers.1.self_attn.q_proj.weight"
    before, after = load_file(stored / "model.safetensors")[name].float(), load_file(model / "model.safetensors")[name]
    assert sorted(told) == [name.replace("layers.1", "layers.0"), name]
    assert told[name]["change"] == pytest.approx(float((exact[name] - before).norm()), rel=1e-4)
    assert told[name]["lost"] == pytest.approx(float((exact[name] - after.float()).norm()), rel=1e-2)
    assert 0 < told[name]["share"] < 0.05


def test_threads_do_not_change_a_byte(tmp_path: Path) -> None:
    base = save(ARCHITECTURES["qwen2"][0], tmp_path / "base", torch.bfloat16)
    adapter = make_adapter(tmp_path / "adapter", load_model(base, torch.float32), LINEAR)
    one, four = (merge(tmp_path / str(n), base, adapter, cpu_threads=n) for n in (1, 4))
    assert digests(one)["model.safetensors"] == digests(four)["model.safetensors"]


def test_blocks_of_any_size_give_the_same(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = make_adapter(tmp_path / "adapter", load_model(base), use_dora=True)
    whole = load_file(merge(tmp_path / "whole", base, adapter) / "model.safetensors")
    monkeypatch.setattr("stages.merge.shards.BLOCK_ELEMENTS", 33)
    for name, tensor in load_file(merge(tmp_path / "rows", base, adapter) / "model.safetensors").items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-6, atol=1e-7)


# ---- trained on a base in four bits


@pytest.mark.parametrize("with_examples", [True, False])
def test_a_qlora_adapter_goes_into_the_better_of_both_bases(tmp_path: Path, with_examples: bool) -> None:
    longest, rows = 24, random_examples(20)
    base = make_model(tmp_path / "base", make_tokenizer(tmp_path / "tokenizer"), max_position_embeddings=longest)
    # In four bits are all layers, also those that the adapter leaves as they are.
    short, adapted = [row for row in rows if len(row["input_ids"]) <= longest], ["q_proj", "down_proj"]
    trained = train(tmp_path / "run", base, short, method="qlora", max_steps=3, target_modules=adapted)
    model = merge(
        tmp_path, base, trained.adapter, sealed(tmp_path / "examples", "examples", rows) if with_examples else None
    )
    told = json.loads((model / "merge_certificate.json").read_text())
    first = sorted(rows, key=lambda row: (row["split"] != "validation", row["row_id"]))[: 16 if with_examples else 0]
    assert told["loss_examples"] == len(first)
    assert told["loss_tokens"] == sum(sum(row["loss_mask"][1:longest]) for row in first)
    if with_examples:
        difference = told["stored_base_loss"] - told["four_bit_base_loss"]
        assert told["loss_difference"] == pytest.approx(difference, abs=1e-6)
    else:
        assert (told["merged_into"], told["stored_base_loss"]) == ("four_bit", None)
    assert told["four_bit_base_mean_kl"] < 1e-6 < told["stored_base_mean_kl"]
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        quantised = None if told["merged_into"] == "four_bit" else False
        expected = load_adapted(base, trained.adapter, torch.float32, quantised=quantised)(input_ids=ids).logits
        torch.testing.assert_close(load_model(model)(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)


# ---- a model that was tuned is a base


def test_an_adapter_on_a_merged_model_with_new_tokens_merges_again(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=["<|endoftext|>", "<|x|>", "<|y|>"], vocab_size=403)
    base = make_model(tmp_path / "base", tokenizer, tie_word_embeddings=True)
    rows = random_examples(10)
    first = train(tmp_path / "1", base, rows, tokenizer=bigger, method="lora", max_steps=2)
    tuned = merge(tmp_path / "m1", base, first.adapter)
    second = train(tmp_path / "2", tuned, rows, method="dora", max_steps=2)
    config = json.loads((second.adapter / "adapter_config.json").read_text())
    assert not config["modules_to_save"]  # the tokens are not new any more
    assert_equals_peft(merge(tmp_path / "m2", tuned, second.adapter), tuned, second.adapter)


@pytest.mark.slow
def test_memory_is_that_of_blocks_not_of_the_model(tmp_path: Path) -> None:
    """In a process of its own, what writing the merge adds to the memory that it had before."""
    config = make_config(20_000, hidden=512, layers=8)
    base = save_model(config, tmp_path / "base")
    load_model(base, torch.bfloat16).save_pretrained(tmp_path / "half")
    adapter = make_adapter(tmp_path / "adapter", load_model(tmp_path / "half", torch.float32))
    size = (tmp_path / "half" / "model.safetensors").stat().st_size
    code = f"""
import sys; sys.path.insert(0, {str(Path.cwd())!r})
import resource
from pathlib import Path
from stages.merge.deltas import read_adapter
from stages.merge.shards import match_names, write_merged
from stages.modelling.tensor_files import TensorFolder
base = TensorFolder.of_model(Path({str(tmp_path / "half")!r}))
adapter = match_names(read_adapter(Path({str(adapter)!r}), ()), {{name: name for name in base.file_of}}, ())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_merged(base, adapter, Path({str(tmp_path)!r}), progress=lambda *_: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert size > 70_000_000
    assert int(found.stdout) * 1024 < 35_000_000
