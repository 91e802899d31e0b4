import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from rows import sealed
from stages.errors import ConfigError, DataError
from stages.merge.changes import Change, LowRank, Scaled, TrainedRows
from stages.merge.deltas import read_adapter
from stages.merge.shards import _shape_after
from stages.modelling.models import add_token_rows, load_model, quiet_peft
from stages.modelling.tensor_files import Place
from tiny_merge import TOKENS, make_adapter, merge
from tiny_model import make_config, save_model
from tiny_training import random_examples


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_config(TOKENS), tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter"), load_model(base))


def other_kind(folder: Path, model: PreTrainedModel) -> None:
    with quiet_peft():
        get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)).save_pretrained(folder)


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


def without(folder: Path, model: PreTrainedModel, part: str) -> None:
    """An adapter that lacks the tensors with `part` in their names."""
    make_adapter(folder, model)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: t for name, t in tensors.items() if part not in name}, folder / "adapter_model.safetensors")


def half_missing(folder: Path, model: PreTrainedModel) -> None:
    without(folder, model, "q_proj.lora_B")


def layer_missing(folder: Path, model: PreTrainedModel) -> None:
    without(folder, model, "layers.1.")


def of_another_base(folder: Path, model: PreTrainedModel) -> None:
    stating(folder, model, lambda config: config | {"base_model_name_or_path": "c" * 64})


def of_a_deeper_base(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, load_model(save_model(make_config(TOKENS, layers=3), folder.parent / "deeper")))


def of_a_wider_base(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, load_model(save_model(make_config(TOKENS, hidden=64), folder.parent / "wider")))


def edited(folder: Path, model: PreTrainedModel, name: str, edit: Callable[[Tensor], Tensor]) -> None:
    """An adapter one of whose tensors is another."""
    make_adapter(folder, model)
    tensors = load_file(folder / "adapter_model.safetensors")
    key = next(key for key in tensors if name in key)
    save_file(tensors | {key: edit(tensors[key]).contiguous()}, folder / "adapter_model.safetensors")


def of_no_numbers(folder: Path, model: PreTrainedModel) -> None:
    edited(folder, model, "lora_B", lambda tensor: tensor.index_fill(0, torch.tensor([0]), float("nan")))


def of_two_ranks(folder: Path, model: PreTrainedModel) -> None:
    edited(folder, model, "lora_B", lambda tensor: tensor[:, :2])


def of_rank_zero(folder: Path, model: PreTrainedModel) -> None:
    make_adapter(folder, model)
    tensors = load_file(folder / "adapter_model.safetensors")
    empty = {name: t[:0] if "lora_A" in name else t[:, :0].contiguous() for name, t in tensors.items()}
    save_file(empty, folder / "adapter_model.safetensors")


def of_another_rank(folder: Path, model: PreTrainedModel) -> None:
    stating(folder, model, lambda config: config | {"r": 8})


def without_what_was_trained_whole(folder: Path, model: PreTrainedModel) -> None:
    stating(folder, model, lambda config: config | {"modules_to_save": ["lm_head"]})


def stating(folder: Path, model: PreTrainedModel, stated: Callable[[dict[str, Any]], Any]) -> None:
    make_adapter(folder, model)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(stated(json.loads(path.read_text()))))


def without_alpha(folder: Path, model: PreTrainedModel) -> None:
    stating(folder, model, lambda config: {n: v for n, v in config.items() if n != "lora_alpha"})


def with_a_broken_pattern(folder: Path, model: PreTrainedModel) -> None:
    stating(folder, model, lambda config: config | {"alpha_pattern": {"q_proj(": 3}})


def with_a_list_for_settings(folder: Path, model: PreTrainedModel) -> None:
    stating(folder, model, lambda _: [1])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (other_kind, ConfigError, r"kind PREFIX_TUNING cannot be added .*virtual tokens stand before the text"),
        (pissa, ConfigError, "init_lora_weights='pissa' is not known to merge"),
        (no_adapter, ConfigError, r"no readable adapter_config\.json"),
        (pickled, ConfigError, r"only pickled weights \(adapter_model\.bin\)"),
        (cut, DataError, "is damaged"),
        (of_rank_zero, DataError, r"of \[0, 64\] and .* are not two halves of one update"),
        (of_another_rank, DataError, "does not hold what its settings name .*size mismatch"),
        (without_what_was_trained_whole, DataError, r"does not hold what its settings name .*lm_head\.weight"),
        (half_missing, DataError, "the other half of an update"),
        (layer_missing, DataError, r"lacks 14 tensors that its settings name \(first: .*layers\.1"),
        (of_another_base, DataError, "trained on the base with digest cccccccccccc, and this one has bbbbbbbbbbbb"),
        (of_no_numbers, DataError, r"1 of 28 tensors hold NaN or infinity \(first: .*lora_B"),
        (of_two_ranks, DataError, "are not two halves of one update"),
        (without_alpha, ConfigError, "do not say how much of the update .* counts"),
        (with_a_broken_pattern, ConfigError, "do not say how much of the update .* counts"),
        (with_a_list_for_settings, ConfigError, r"no readable adapter_config\.json"),
        (of_a_deeper_base, DataError, r"7 of the 21 tensors .* not in the base \(first: model\.layers\.2"),
        (of_a_wider_base, DataError, r"by a matrix of \[.*\], and the base has \[.*\]"),
    ],
)
def test_refuses_an_adapter_that_does_not_merge(
    base: Path, tmp_path: Path, make: Any, error: type[Exception], text: str
) -> None:
    make(tmp_path / "adapter", load_model(base))
    with pytest.raises(error, match=text):
        merge(tmp_path, base, tmp_path / "adapter", unmergeable="refuse")


HALVES = {"q.lora_A.weight": torch.ones(2, 4), "q.lora_B.weight": torch.ones(3, 2)}


@pytest.mark.parametrize(
    ("stated", "tensors", "error", "text"),
    [
        ({}, {}, ConfigError, "holds no update that is known"),
        ({}, HALVES | {"q.weight": torch.ones(3, 4)}, ConfigError, r"changes q\.weight in two ways"),
        ({}, HALVES | {"q.lora_C.weight": torch.ones(2, 2)}, ConfigError, r"tensors of another kind \(q\.lora_C"),
        ({"layer_replication": [[0, 1]]}, HALVES, ConfigError, r"layer_replication=\[\[0, 1\]\] is not known to merge"),
        ({}, HALVES | {"q.lora_B.weight": torch.full((3, 2), torch.inf)}, DataError, "1 of 2 tensors hold NaN or infinity"),
        ({}, {"q.token_adapter.trainable_tokens_delta": torch.ones(1, 4)}, DataError, "which tokens of q were trained"),
        ({"trainable_token_indices": {"other": [1]}}, {"q.token_adapter.trainable_tokens_delta": torch.ones(1, 4)}, DataError, "which tokens of q"),
    ],
)  # fmt: skip
def test_refuses_an_adapter_whose_parts_are_not_all_known(
    tmp_path: Path, stated: dict[str, Any], tensors: dict[str, Tensor], error: type[Exception], text: str
) -> None:
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4} | stated
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    save_file({f"base_model.model.{name}": t for name, t in tensors.items()}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(error, match=text):
        read_adapter(tmp_path, ())


@pytest.mark.parametrize(
    ("change", "dtype", "text"),
    [
        (
            TrainedRows(torch.tensor([0, 3]), torch.ones(2, 4)),
            "F32",
            r"changes w by a row 3, and the base has \[3, 4\]",
        ),
        (TrainedRows(torch.tensor([0, 2]), torch.ones(2, 5)), "F32", r"changes w by a matrix of \[3, 4\]"),
        (Scaled(torch.ones(1, 5)), "F32", r"changes w by scales of \[1, 5\], and the base has \[3, 4\]"),
        (Scaled(torch.ones(3)), "F32", r"changes w by scales of \[3\]"),
        (Scaled(torch.ones(3, 1)), "I8", "which the base stores as I8; give the 16 or 32 bit base"),
    ],
)
def test_a_change_that_does_not_fit_its_tensor_is_refused(change: Change, dtype: str, text: str) -> None:
    assert _shape_after("w", Place("F32", (3, 4), 0, 48), Scaled(torch.ones(3, 1))) == (3, 4)
    with pytest.raises(DataError, match=text):
        _shape_after("w", Place(dtype, (3, 4), 0, 48), change)


def test_refuses_a_low_rank_update_of_one_of_two_tied_matrices(tmp_path: Path) -> None:
    base = save_model(make_config(TOKENS, tie_word_embeddings=True), tmp_path / "base")
    make_adapter(tmp_path / "adapter", load_model(base), ["q_proj", "lm_head"])
    with pytest.raises(ConfigError, match="one of two tied embedding matrices"):
        merge(tmp_path, base, tmp_path / "adapter")


def test_refuses_rows_for_one_matrix_only(base: Path, tmp_path: Path) -> None:
    model = load_model(base)
    add_token_rows(model, TOKENS + 2)
    adapter = make_adapter(tmp_path / "adapter", model, modules_to_save=["embed_tokens"])
    with pytest.raises(DataError, match=r"matrices no longer fit each other"):
        merge(tmp_path, base, adapter)


def test_refuses_when_the_merged_model_differs(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = LowRank.begin
    monkeypatch.setattr(LowRank, "begin", lambda self: right(self._replace(scaling=self.scaling * 1.01)))
    with pytest.raises(
        DataError,
        match=r"differs from base and adapter by up to .* more than the 0\.000\d+ allowed.*nothing is published",
    ):
        merge(tmp_path, base, adapter)


def test_the_limit_is_the_users(base: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than the 0 allowed"):
        merge(tmp_path, base, adapter, max_logit_difference=0)


def test_refuses_examples_of_another_tokenizer(base: Path, adapter: Path, tmp_path: Path) -> None:
    examples = sealed(tmp_path / "examples", "examples", random_examples(20, tokens=400))
    with pytest.raises(DataError, match="token ids beyond the 60 tokens of the model"):
        merge(tmp_path, base, adapter, examples)


def test_refuses_numbers_that_the_precision_of_the_base_does_not_hold(base: Path, tmp_path: Path) -> None:
    load_model(base, torch.float16).save_pretrained(tmp_path / "half")
    edited(tmp_path / "adapter", load_model(base), "lora_B", lambda tensor: tensor * 1e7)
    with pytest.raises(DataError, match=r"holds numbers that F16 cannot"):
        merge(tmp_path, tmp_path / "half", tmp_path / "adapter")
