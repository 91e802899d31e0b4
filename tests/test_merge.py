import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from rows import sealed
from safetensors.torch import load_file, save_file
from tiny_model import make_config, make_model, save_model
from tiny_tokenizer import CHATML, make_tokenizer
from tiny_training import digests, random_examples, train
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel, PreTrainedModel
from workbench import lend

from stages.errors import ConfigError, DataError
from stages.merge.deltas import Adapter
from stages.merge.job import run
from stages.merge.stage import MergeParams
from stages.models import add_token_rows, load_model, quiet_peft

TOKENS = 60
LINEAR = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")


def merge(folder: Path, base: Path, adapter: Path, examples: Path | None = None, **params: Any) -> Path:
    """Runs the stage; the folder of the merged model."""
    model = folder / "model"
    model.mkdir(parents=True)
    bench = lend(folder / "scratch", input_digests={"base": "b" * 64, "adapter": "a" * 64})
    run(base, adapter, examples=examples, model=model, params=MergeParams(**{"cpu_threads": 1} | params), workbench=bench)
    return model


def make_adapter(folder: Path, model: PreTrainedModel, target_modules: Sequence[str] = LINEAR, **config: Any) -> Path:
    """An adapter with random numbers everywhere, as PEFT itself saves it."""
    with quiet_peft():
        settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}
        adapted = get_peft_model(model, LoraConfig(target_modules=list(target_modules), **settings | config))
        torch.manual_seed(1)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.data += torch.randn_like(weight) * 0.1
        adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


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
    [{}, {"use_rslora": True, "r": 9}, {"lora_alpha": 1}, {"target_modules": ["q_proj"]}, {"target_modules": [*LINEAR, "lm_head"]}],
    ids=["plain", "rslora", "small alpha", "one layer", "output matrix"],
)
def test_merged_weights_are_those_of_peft(base: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    adapter = make_adapter(tmp_path / "adapter", load_model(base), **config)
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


def test_the_certificate_says_how_equal_the_logits_are(base: Path, adapter: Path, tmp_path: Path) -> None:
    certificate = certificate_of(merge(tmp_path, base, adapter))
    assert 0 < certificate["max_logit_difference"] < certificate["allowed_logit_difference"] == 1e-4
    assert certificate["mean_kl"] < 1e-6
    assert certificate["top1_agreement"] == 1.0
    assert (certificate["prompts"], certificate["positions"], certificate["prompts_from"]) == (16, 512, "fixed token ids")
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


def test_a_base_in_parts_is_merged_part_by_part(base: Path, adapter: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    load_model(base).save_pretrained(parts, max_shard_size="30KB")
    model = merge(tmp_path, parts, adapter)
    weights = {path.name for path in parts.glob("*.safetensors*")}
    assert len(weights) > 2
    assert {path.name for path in model.glob("*.safetensors*")} == weights
    assert_equals_peft(model, base, adapter)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("new_tokens", [0, 3])
def test_embeddings_trained_beside_replace_those_of_the_base(tmp_path: Path, is_tied: bool, new_tokens: int) -> None:
    base = save_model(make_config(TOKENS, tie_word_embeddings=is_tied), tmp_path / "base")
    model = load_model(base)
    add_token_rows(model, TOKENS + new_tokens)
    saved = {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True} if is_tied else {"modules_to_save": ["embed_tokens", "lm_head"]}
    adapter = make_adapter(tmp_path / "adapter", model, **saved)
    made = merge(tmp_path, base, adapter)
    assert_equals_peft(made, base, adapter, TOKENS + new_tokens)
    config = load_model(made).config
    assert (config.vocab_size, config.tie_word_embeddings) == (TOKENS + new_tokens, is_tied)
    assert ("lm_head.weight" in load_file(made / "model.safetensors")) != is_tied


def test_matrices_that_training_took_apart_are_no_longer_tied(tmp_path: Path) -> None:
    base = save_model(make_config(TOKENS, tie_word_embeddings=True), tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", load_model(base), modules_to_save=["embed_tokens"], ensure_weight_tying=True)
    tensors = load_file(adapter / "adapter_model.safetensors")
    tensors["base_model.model.lm_head.weight"] = tensors["base_model.model.lm_head.weight"] + 1
    save_file(tensors, adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"ensure_weight_tying": False, "modules_to_save": ["embed_tokens", "lm_head"]}))
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        model = load_model(merge(tmp_path, base, adapter))
    assert model.config.tie_word_embeddings is False
    torch.testing.assert_close(model.lm_head.weight, tensors["base_model.model.lm_head.weight"])


@pytest.mark.parametrize("is_prefixed", [True, False])
def test_layers_that_store_weights_the_other_way_round_and_files_without_prefix(tmp_path: Path, is_prefixed: bool) -> None:
    base = tmp_path / "base"
    GPT2LMHeadModel(GPT2Config(vocab_size=TOKENS, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)).save_pretrained(base)
    if not is_prefixed:
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(base / "model.safetensors").items()}
        save_file(tensors, base / "model.safetensors", {"format": "pt"})
    adapter = make_adapter(tmp_path / "adapter", load_model(base), ["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)
    assert_equals_peft(merge(tmp_path, base, adapter), base, adapter)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_keep_the_precision_of_the_base_and_are_judged_by_it(base: Path, tmp_path: Path, dtype: torch.dtype) -> None:
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
    trained = train(tmp_path / "train", base, random_examples(20), tokenizer=bigger, method="lora", max_steps=3, learning_rate=1e-2)
    model = merge(tmp_path, base, trained.adapter, tmp_path / "train" / "examples")
    tokens = len(AutoTokenizer.from_pretrained(bigger))
    assert_equals_peft(model, base, trained.adapter, tokens)
    for name in ("tokenizer.json", "chat_template.jinja", "mask_certificate.json"):
        assert (model / name).read_bytes() == (bigger / name).read_bytes()
    assert GenerationConfig.from_pretrained(model).eos_token_id == [2, 0] == load_model(model).config.eos_token_id


def other_kind(folder: Path, model: PreTrainedModel) -> None:
    with quiet_peft():
        get_peft_model(model, IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])).save_pretrained(folder)


def dora(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model, use_dora=True)


def ranks_by_layer(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model, rank_pattern={"q_proj": 2})


def pissa(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model, init_lora_weights="pissa")


def no_adapter(folder: Path, model: PreTrainedModel) -> None:
    folder.mkdir()


def pickled(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def cut(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model)
    (folder / "adapter_model.safetensors").write_bytes(b"\x10")


def half_missing(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: t for name, t in tensors.items() if "q_proj.lora_B" not in name}, folder / "adapter_model.safetensors")


def of_a_deeper_base(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, load_model(save_model(make_config(TOKENS, layers=3), folder.parent / "deeper")))


def of_a_wider_base(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, load_model(save_model(make_config(TOKENS, hidden=64), folder.parent / "wider")))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (other_kind, ConfigError, "kind IA3 cannot be added"),
        (dora, ConfigError, "use_dora=True is not known to merge"),
        (ranks_by_layer, ConfigError, "rank_pattern=.* is not known to merge"),
        (pissa, ConfigError, "init_lora_weights='pissa' is not known to merge"),
        (no_adapter, ConfigError, r"no readable adapter_config\.json"),
        (pickled, ConfigError, r"only pickled weights \(adapter_model\.bin\)"),
        (cut, DataError, "is damaged"),
        (half_missing, DataError, "the other half of an update"),
        (of_a_deeper_base, DataError, r"14 of 21|7 of 21 .* not in the base \(first: model\.layers\.2"),
        (of_a_wider_base, DataError, r"by a matrix of \[.*\], and the base has \[.*\]"),
    ],
)
def test_refuses_an_adapter_that_does_not_merge(
    base: Path, tmp_path: Path, make: Any, error: type[Exception], text: str
) -> None:
    make(tmp_path / "adapter", load_model(base))
    with pytest.raises(error, match=text):
        merge(tmp_path, base, tmp_path / "adapter")


def test_refuses_a_low_rank_update_of_one_of_two_tied_matrices(tmp_path: Path) -> None:
    base = save_model(make_config(TOKENS, tie_word_embeddings=True), tmp_path / "base")
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        make_adapter(tmp_path / "adapter", load_model(base), ["q_proj", "lm_head"])
    with pytest.raises(ConfigError, match="one of two tied embedding matrices"):
        merge(tmp_path, base, tmp_path / "adapter")


def test_refuses_rows_for_one_matrix_only(base: Path, tmp_path: Path) -> None:
    model = load_model(base)
    add_token_rows(model, TOKENS + 2)
    adapter = make_adapter(tmp_path / "adapter", model, modules_to_save=["embed_tokens"])
    with pytest.raises(DataError, match=r"matrices no longer fit each other"):
        merge(tmp_path, base, adapter)


def test_refuses_when_the_merged_model_differs(base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Adapter.changed
    monkeypatch.setattr(Adapter, "changed", lambda self, name, weight: right(self._replace(scaling=self.scaling * 1.01), name, weight))
    with pytest.raises(DataError, match=r"differs from base and adapter by up to .* more than the 0\.0001 allowed.*nothing is published"):
        merge(tmp_path, base, adapter)


def test_the_limit_is_the_users(base: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than the 0 allowed"):
        merge(tmp_path, base, adapter, max_logit_difference=0)


def test_refuses_examples_of_another_tokenizer(base: Path, adapter: Path, tmp_path: Path) -> None:
    examples = sealed(tmp_path / "examples", "examples", random_examples(20, tokens=400))
    with pytest.raises(DataError, match="token ids beyond the 60 tokens of the model"):
        merge(tmp_path, base, adapter, examples)
