import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel, PhiConfig, PhiForCausalLM

from stages.errors import ConfigError, DataError
from stages.modelling.models import add_token_rows, copy_tokenizer, load_model, repeatable, set_stop_ids, weight_files
from tiny_model import make_config, save_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_config(50), tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def config_of_nothing(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no_such_model"}')


def config_cut(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "lla')


def adapter_alone(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def own_code(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mine", "auto_map": {"AutoConfig": "run_me.Config"}}')
    (folder / "run_me.py").write_text("raise SystemExit('code from the folder was run')")


def quantised(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}})
    )


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def part_missing(folder: Path) -> None:
    names = {
        "lm_head.weight": "model-00001-of-00002.safetensors",
        "model.norm.weight": "model-00002-of-00002.safetensors",
    }
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def index_leads_away(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "../elsewhere.safetensors"}}))


def index_of_nothing(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("[]")


def weights_cut(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def tensor_missing(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def other_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 51}))


def no_language_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "vit"}')


@pytest.mark.parametrize(
    ("break_it", "error", "text"),
    [
        (without_config, ConfigError, r"holds no config\.json.*model folder holds config\.json, model\.safetensors"),
        (adapter_alone, ConfigError, "an adapter without its base; merge the two first"),
        (config_of_nothing, ConfigError, "describes no model that can be read.*no_such_model"),
        (config_cut, ConfigError, "describes no model that can be read"),
        (own_code, ConfigError, "describes no model that can be read"),
        (quantised, ConfigError, "quantised weights"),
        (pickled, ConfigError, r"pickled weights \(pytorch_model\.bin\)"),
        (without_weights, ConfigError, r"lacks 1 of 1 weight files \(model\.safetensors\)"),
        (part_missing, ConfigError, r"lacks 1 of 2 weight files \(model-00002-of-00002\.safetensors\)"),
        (index_leads_away, ConfigError, "no safetensors beside it"),
        (index_of_nothing, DataError, "no index of weight files"),
        (weights_cut, DataError, "is damaged"),
        (tensor_missing, DataError, r"lack 1 tensors of the model \(first: lm_head\.weight\)"),
        (other_shape, ConfigError, "does not load as a causal language model"),
        (no_language_model, ConfigError, "does not load as a causal language model"),
    ],
)
def test_refuses_a_folder_that_is_no_sound_model(
    folder: Path, break_it: Callable[[Path], None], error: type[Exception], text: str
) -> None:
    break_it(folder)
    with pytest.raises(error, match=text):
        load_model(folder)


def test_pickles_beside_safetensors_are_never_opened(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    assert load_model(folder).num_parameters() > 0


def test_finds_all_parts_of_a_model(tmp_path: Path, saved: Path) -> None:
    load_model(saved).save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(weight_files(tmp_path)) > 1
    whole, parts = load_model(saved).state_dict(), load_model(tmp_path).state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_architecture_without_fast_attention_loads_with_the_plain_one(tmp_path: Path) -> None:
    BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=32, n_layer=1, n_head=4)).save_pretrained(tmp_path)
    assert load_model(tmp_path).config._attn_implementation == "eager"


@pytest.mark.parametrize("is_tied", [True, False])
def test_new_rows_are_the_mean_of_the_old(tmp_path: Path, is_tied: bool) -> None:
    model = load_model(save_model(make_config(50, tie_word_embeddings=is_tied), tmp_path))
    means = [matrix.weight.mean(dim=0) for matrix in (model.get_input_embeddings(), model.get_output_embeddings())]
    assert add_token_rows(model, 53) == 3
    matrices = [matrix.weight for matrix in (model.get_input_embeddings(), model.get_output_embeddings())]
    for mean, matrix in zip(means, matrices, strict=True):
        torch.testing.assert_close(matrix[50:], mean.expand(3, -1))
    assert (matrices[0] is matrices[1]) == is_tied
    assert model.config.vocab_size == 53


def test_new_tokens_are_as_likely_as_the_average_one_where_the_output_has_a_bias() -> None:
    shape = PhiConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    model = PhiForCausalLM(shape)
    model.lm_head.bias.data = torch.arange(9.0)
    assert add_token_rows(model, 11) == 2
    assert model.lm_head.bias.tolist() == [*map(float, range(9)), 4.0, 4.0]


def test_room_for_more_tokens_than_there_are_is_left_as_it_is(folder: Path) -> None:
    model = load_model(folder)
    assert add_token_rows(model, 40) == 0
    assert model.config.vocab_size == 50


def test_stop_ids_reach_config_and_generation_config(folder: Path) -> None:
    model = load_model(folder)
    set_stop_ids(model, [7, 9])
    assert (model.config.eos_token_id, model.generation_config.eos_token_id) == ([7, 9], [7, 9])
    set_stop_ids(model, [7])
    assert (model.config.eos_token_id, model.generation_config.eos_token_id) == (7, 7)
    set_stop_ids(model, [])
    assert model.config.eos_token_id == 7


def test_copies_the_tokenizer_and_its_certificate_byte_for_byte_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name in (
        "tokenizer.json",
        "chat_template.jinja",
        "mask_certificate.json",
        "manifest.json",
        "model.safetensors",
    ):
        (source / name).write_text(f"{name} é\r\n")
    copy_tokenizer(source, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        name: (source / name).read_bytes()
        for name in ("tokenizer.json", "chat_template.jinja", "mask_certificate.json")
    }


def test_repeatable_gives_the_same_numbers_and_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with repeatable(cpu_threads=1):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        torch.manual_seed(3)
        torch.rand(2)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_gpt2_loads_from_files_that_leave_out_the_inner_models_name(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path)
    tensors = {
        name.removeprefix("transformer."): tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())
