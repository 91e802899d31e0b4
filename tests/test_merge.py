import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel

from rows import sealed
from stages.errors import ConfigError
from stages.merge import embeddings
from stages.merge.changes import TrainedRows
from stages.merge.deltas import Adapter
from stages.merge.embeddings import Names, settle_tied
from stages.modelling.models import add_token_rows, load_model, quiet_peft
from stages.modelling.tensor_files import TensorFolder
from tiny_merge import LINEAR, TOKENS, make_adapter, merge
from tiny_model import make_config, make_model, save_model
from tiny_tokenizer import CHATML, make_tokenizer
from tiny_training import digests, random_examples, train


def merged_by_peft(base: Path, adapter: Path, tokens: int = 0) -> dict[str, Tensor]:
    model = load_model(base, torch.float32)
    add_token_rows(model, tokens)
    with quiet_peft():
        return dict(PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().state_dict())


def assert_equals_peft(model: Path, base: Path, adapter: Path, tokens: int = 0) -> None:
    expected, found = merged_by_peft(base, adapter, tokens), load_model(model).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def certificate_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "merge_certificate.json").read_text())
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_config(TOKENS), tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter"), load_model(base))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_rslora": True, "r": 9},
        {"lora_alpha": 1},
        {"target_modules": ["q_proj"]},
        {"target_modules": [*LINEAR, "lm_head"]},
    ],
    ids=["plain", "rslora", "small alpha", "one layer", "output matrix"],
)
def test_merged_weights_are_those_of_peft(base: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    adapter = make_adapter(tmp_path / "adapter", load_model(base), **config)
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


def test_the_certificate_says_how_equal_the_logits_are(base: Path, adapter: Path, tmp_path: Path) -> None:
    certificate = certificate_of(merge(tmp_path, base, adapter))
    assert 0 < certificate["max_logit_difference"] < certificate["allowed_logit_difference"] / 3
    assert certificate["allowed_logit_difference"] == 1e-4 * max(1, certificate["largest_logit"])
    assert certificate["mean_kl"] < 1e-6
    assert certificate["top1_agreement"] == 1.0
    assert (certificate["prompts"], certificate["positions"], certificate["prompts_from"]) == (
        8,
        256,
        "fixed token ids",
    )
    assert (certificate["adapter_digest"], certificate["base_digest"]) == ("a" * 64, "b" * 64)


def test_prompts_come_from_examples_held_out_from_training_first(base: Path, adapter: Path, tmp_path: Path) -> None:
    rows = random_examples(20, tokens=TOKENS)
    held_out = sorted((row for row in rows if row["split"] == "validation"), key=lambda row: row["row_id"])
    examples = sealed(tmp_path / "examples", "examples", rows)
    certificate = certificate_of(merge(tmp_path, base, adapter, examples, check_prompts=2, check_tokens=7))
    assert certificate["positions"] == sum(min(7, len(row["input_ids"])) for row in held_out)
    assert certificate["prompts_from"] == "examples"


def test_the_same_inputs_give_the_same_bytes(base: Path, adapter: Path, tmp_path: Path) -> None:
    first, again = (merge(tmp_path / name, base, adapter) for name in ("first", "again"))
    assert digests(first) == digests(again)


def test_a_base_in_parts_is_merged_part_by_part_and_says_how_far_it_is(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    monkeypatch.setattr("workbench.say_nothing", lambda *said, **_: heard.append(said))
    parts = tmp_path / "parts"
    load_model(base).save_pretrained(parts, max_shard_size="30KB")
    model = merge(tmp_path, parts, adapter)
    weights = {path.name for path in parts.glob("*.safetensors*")}
    assert len(weights) > 2
    assert {path.name for path in model.glob("*.safetensors*")} == weights
    assert_equals_peft(model, base, adapter)
    tensors = len(TensorFolder.of_model(parts).file_of)
    assert heard == [
        *((n + 1, tensors, "tensors") for n in range(tensors)),
        *((n, 2, "models asked") for n in range(2)),
    ]


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("new_tokens", [0, 3])
def test_embeddings_trained_beside_replace_those_of_the_base(tmp_path: Path, is_tied: bool, new_tokens: int) -> None:
    base = save_model(make_config(TOKENS, tie_word_embeddings=is_tied), tmp_path / "base")
    model = load_model(base)
    add_token_rows(model, TOKENS + new_tokens)
    saved = (
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}
        if is_tied
        else {"modules_to_save": ["embed_tokens", "lm_head"]}
    )
    adapter = make_adapter(tmp_path / "adapter", model, **saved)
    made = merge(tmp_path, base, adapter)
    assert_equals_peft(made, base, adapter, TOKENS + new_tokens)
    config = load_model(made).config
    assert (config.vocab_size, config.tie_word_embeddings) == (TOKENS + new_tokens, is_tied)
    assert ("lm_head.weight" in load_file(made / "model.safetensors")) != is_tied


def test_a_copy_of_the_tied_matrix_in_the_files_changes_with_it(tmp_path: Path) -> None:
    base = save_model(make_config(TOKENS, tie_word_embeddings=True), tmp_path / "base")
    stored = load_file(base / "model.safetensors")
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"].clone()
    save_file(stored, base / "model.safetensors", {"format": "pt"})
    model = load_model(base)
    add_token_rows(model, TOKENS + 3)
    adapter = make_adapter(tmp_path / "adapter", model, modules_to_save=["embed_tokens"], ensure_weight_tying=True)
    made = merge(tmp_path, base, adapter)
    assert_equals_peft(made, base, adapter, TOKENS + 3)
    merged = load_file(made / "model.safetensors")
    assert torch.equal(merged["lm_head.weight"], merged["model.embed_tokens.weight"])


def test_trained_rows_of_tied_matrices_are_the_same_only_at_the_same_places() -> None:
    names = Names("embed", "head", True, "model", frozenset())
    rows, places = torch.ones(2, 4), torch.tensor([3, 5])
    for other, is_fine in ((places, True), (torch.tensor([3, 6]), False)):
        adapter = Adapter({"embed": TrainedRows(places, rows), "head": TrainedRows(other, rows)}, "LORA", 4)
        with nullcontext() if is_fine else pytest.raises(ConfigError, match="one of two tied"):
            settled, is_tied = settle_tied(adapter, names, {"embed"})
            assert (list(settled.changes), is_tied) == (["embed"], True)


def test_matrices_that_training_took_apart_are_no_longer_tied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "ROWS_AT_ONCE", 16)
    base = save_model(make_config(TOKENS, tie_word_embeddings=True), tmp_path / "base")
    adapter = make_adapter(
        tmp_path / "adapter", load_model(base), modules_to_save=["embed_tokens"], ensure_weight_tying=True
    )
    tensors = load_file(adapter / "adapter_model.safetensors")
    tensors["base_model.model.lm_head.weight"] = tensors["base_model.model.lm_head.weight"].clone()
    tensors["base_model.model.lm_head.weight"][-1] += 1  # the first rows are still the same
    save_file(tensors, adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps(config | {"ensure_weight_tying": False, "modules_to_save": ["embed_tokens", "lm_head"]})
    )
    model = load_model(merge(tmp_path, base, adapter))
    assert model.config.tie_word_embeddings is False
    torch.testing.assert_close(model.lm_head.weight, tensors["base_model.model.lm_head.weight"])


@pytest.mark.parametrize("is_prefixed", [True, False])
def test_layers_that_store_weights_the_other_way_round_and_files_without_prefix(
    tmp_path: Path, is_prefixed: bool
) -> None:
    base = tmp_path / "base"
    GPT2LMHeadModel(
        GPT2Config(vocab_size=TOKENS, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    ).save_pretrained(base)
    if not is_prefixed:
        tensors = {
            name.removeprefix("transformer."): tensor for name, tensor in load_file(base / "model.safetensors").items()
        }
        save_file(tensors, base / "model.safetensors", {"format": "pt"})
    adapter = make_adapter(tmp_path / "adapter", load_model(base), ["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_keep_the_precision_of_the_base_and_are_judged_by_it(
    base: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    half = tmp_path / "half"
    load_model(base, dtype).save_pretrained(half)
    adapter = make_adapter(tmp_path / "adapter", load_model(half, torch.float32))
    model = merge(tmp_path, half, adapter)
    assert load_model(model).dtype == dtype
    certificate = certificate_of(model)
    assert 1e-4 < certificate["max_logit_difference"] < certificate["allowed_logit_difference"] / 3


def test_an_adapter_from_train_merges_with_its_tokenizer_and_stop_ids(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    (bigger / "chat_template.jinja").write_text("{{ messages }}")
    (bigger / "mask_certificate.json").write_text("{}")
    base = make_model(tmp_path / "base", tokenizer, tie_word_embeddings=True)
    trained = train(
        tmp_path / "train", base, random_examples(20), tokenizer=bigger, method="lora", max_steps=3, learning_rate=1e-2
    )
    model = merge(tmp_path, base, trained.adapter, tmp_path / "train" / "examples")
    tokens = len(AutoTokenizer.from_pretrained(bigger))
    assert_equals_peft(model, base, trained.adapter, tokens)
    for name in ("tokenizer.json", "chat_template.jinja", "mask_certificate.json"):
        assert (model / name).read_bytes() == (bigger / name).read_bytes()
    assert GenerationConfig.from_pretrained(model).eos_token_id == [2, 0] == load_model(model).config.eos_token_id
