import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from exact_gradients import by_hand, norm
from stages.errors import ConfigError, DataError
from stages.modelling.models import add_token_rows, load_model, quiet_peft
from stages.train.optimizer import learning_rate
from stages.train.stage import TrainParams
from tiny_model import make_model
from tiny_tokenizer import CHATML, make_tokenizer
from tiny_training import BASE_DIGEST, Trained, arrays, digests, example, random_examples, train

ROWS = random_examples(30)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("base"), tokenizer)


def weights(folder: Path) -> dict[str, Tensor]:
    return dict(load_model(folder).state_dict())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Trained:
    return train(tmp_path_factory.mktemp("full"), base, ROWS, epochs=6, validate_every_steps=10)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Trained:
    return train(tmp_path_factory.mktemp("lora"), base, ROWS, method="lora", lora_rank=4, epochs=6)


def test_full_training_lowers_the_loss_and_makes_a_model_folder(full: Trained, base: Path, tokenizer: Path) -> None:
    assert full.log["loss"][-1] < full.log["loss"][0] - 0.3
    made, before = weights(full.model), weights(base)
    assert all(not torch.equal(made[name], before[name]) for name in before)
    assert not any(full.adapter.iterdir())
    assert len(AutoTokenizer.from_pretrained(full.model)) == len(AutoTokenizer.from_pretrained(tokenizer))


def test_lora_lowers_the_loss_and_makes_an_adapter_that_peft_loads(lora: Trained, base: Path) -> None:
    assert lora.log["loss"][-1] < lora.log["loss"][0] - 0.3
    assert not any(lora.model.iterdir())
    model, ids = load_model(base), torch.arange(10, 30)[None]
    before = model(input_ids=ids).logits
    with quiet_peft():
        adapted = PeftModel.from_pretrained(model, str(lora.adapter))
    assert (adapted(input_ids=ids).logits - before).abs().max() > 0.01
    assert (lora.adapter / "tokenizer.json").exists()


def test_an_adapter_reaches_every_linear_layer_and_names_its_base_by_digest(lora: Trained) -> None:
    config = json.loads((lora.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE_DIGEST
    assert config["target_modules"] == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    hidden, kv, inner, rank, layers = 32, 16, 64, 4, 2
    per_layer = 2 * (hidden + hidden) + 2 * (hidden + kv) + 3 * (hidden + inner)
    assert lora.facts["trained_weights"] == layers * rank * per_layer


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(base: Path, tmp_path: Path, method: str) -> None:
    runs = [
        train(tmp_path / f"run{i}", base, ROWS, method=method, max_steps=3, seed=seed)
        for i, seed in enumerate((5, 5, 6))
    ]
    first, again, other = (digests(trained.weights) for trained in runs)
    assert first == again
    assert first != other
    assert runs[0].log.equals(runs[1].log)
    everything = b"".join(path.read_bytes() for path in runs[0].weights.iterdir())
    assert str(tmp_path).encode() not in everything


def test_packed_and_padded_training_agree(base: Path, tmp_path: Path) -> None:
    packed, padded = (
        train(tmp_path / str(packing), base, ROWS, packing=packing, max_steps=6) for packing in (True, False)
    )
    for column in ("loss", "grad_norm"):
        assert packed.log[column].to_list() == pytest.approx(padded.log[column].to_list(), rel=1e-4)


def test_one_step_does_not_depend_on_how_its_tokens_fall_into_packs(base: Path, tmp_path: Path) -> None:
    lengths = [2, 2, 2, 2, 16, 16, 16, 16]
    rows = [example(f"r{i}", range(10 * i + 3, 10 * i + 3 + n), [0] + [1] * (n - 1)) for i, n in enumerate(lengths)]
    shapes = [(72, 1), (18, 8), (8, 16)]
    logs = [
        train(tmp_path / str(size), base, rows, pack_tokens=size, packs_per_step=count, max_steps=1).log
        for size, count in shapes
    ]
    assert [log["supervised_tokens"][0] for log in logs] == [64, 64, 64]
    for column in ("loss", "grad_norm"):
        assert [log[column][0] for log in logs] == pytest.approx([logs[0][column][0]] * 3, rel=1e-5)


def test_the_log_counts_steps_tokens_and_validation(full: Trained) -> None:
    log = full.log
    assert log["step"].to_list() == list(range(1, full.facts["steps"] + 1))
    supervised = sum(sum(row["loss_mask"]) for row in ROWS if row["split"] == "train")
    total = sum(len(row["input_ids"]) for row in ROWS if row["split"] == "train")
    assert log.select("supervised_tokens", "total_tokens").row(-1) == (6 * supervised, 6 * total)
    measured = log.filter(pl.col("validation_loss").is_not_null())["step"].to_list()
    assert measured == sorted({*range(10, full.facts["steps"], 10), full.facts["steps"]})
    assert full.facts["validation_loss"] == log["validation_loss"][-1]


def test_a_log_row_is_the_mean_over_the_steps_since_the_row_before(base: Path, tmp_path: Path) -> None:
    each, third = (train(tmp_path / str(n), base, ROWS, max_steps=7, log_every_steps=n).log for n in (1, 3))
    assert third["step"].to_list() == [3, 6, 7]
    tokens = np.diff(each["supervised_tokens"].to_numpy(), prepend=0)[:3]
    assert third["loss"][0] == pytest.approx(np.average(each["loss"].to_numpy()[:3], weights=tokens))


def test_validation_loss_is_the_mean_over_tokens_not_over_rows(base: Path, tmp_path: Path) -> None:
    rows = [row for row in ROWS if row["split"] == "train"]
    held_out = [  # in two packs
        example("v1", range(10, 70), [0] + [1] * 59, split="validation"),
        example("v2", [7, 8], [0, 1], split="validation"),
        example("v3", range(30, 60), [0] * 29 + [1], split="validation"),
    ]
    trained = train(tmp_path, base, [*rows, *held_out], max_steps=2)
    model, losses = load_model(trained.model), []
    for row in held_out:
        ids = torch.tensor(row["input_ids"])
        logits = model(input_ids=ids[None]).logits[0]
        each = torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none")
        losses.append(each[torch.tensor(row["loss_mask"][1:]) == 1])
    assert trained.facts["validation_loss"] == pytest.approx(float(torch.cat(losses).mean().detach()), rel=1e-5)


def test_stops_early_and_keeps_the_best_weights(base: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "learning_rate": 0.02,
        "validate_every_steps": 2,
        "schedule": "constant",
        "warmup_share": 0,
    }
    stopped = train(tmp_path / "a", base, ROWS, early_stopping_patience=2, epochs=30, **settings)
    losses = stopped.log.filter(pl.col("validation_loss").is_not_null())
    best = losses.sort("validation_loss")["step"][0]
    assert stopped.facts["steps"] == best + 4 == losses["step"][-1]
    until_best = train(tmp_path / "b", base, ROWS, **settings, max_steps=best)
    assert digests(stopped.model) == digests(until_best.model)


def test_objective_text_learns_every_token_but_the_first(base: Path, tmp_path: Path) -> None:
    trained = train(tmp_path, base, ROWS, objective="text", epochs=1)
    tokens = sum(len(row["input_ids"]) - 1 for row in ROWS if row["split"] == "train")
    assert trained.facts["supervised_tokens"] == tokens


def test_examples_count_as_often_as_they_repeat(base: Path, tmp_path: Path) -> None:
    once = train(tmp_path / "1", base, [example("a", range(5, 25))], epochs=1)
    thrice = train(tmp_path / "3", base, [example("a", range(5, 25), repeats=3)], epochs=1)
    assert thrice.facts["total_tokens"] == 3 * once.facts["total_tokens"]


def test_a_row_counts_by_its_weight_and_not_at_all_with_weight_zero(base: Path, tmp_path: Path) -> None:
    settings = {"packs_per_step": 100, "max_steps": 1}
    rows = [row | {"weight": float(number % 3)} for number, row in enumerate(ROWS)]
    weighted = train(tmp_path / "weighted", base, rows, **settings)
    counted = [row for row in rows if row["weight"] and row["split"] == "train"]
    expected = by_hand(load_model(base), arrays(counted))
    assert weighted.log["loss"][0] == pytest.approx(expected.loss, rel=1e-6)
    assert weighted.log["grad_norm"][0] == pytest.approx(norm(expected), rel=1e-5)
    assert weighted.facts["train_examples"] == len(counted)


def test_generation_stops_where_the_data_does(full: Trained, lora: Trained) -> None:
    end, text_end = (CHATML.index(token) for token in ("<|im_end|>", "<|endoftext|>"))
    for folder in (full.model, lora.adapter):
        assert GenerationConfig.from_pretrained(folder).eos_token_id == [end, text_end]
    assert json.loads((full.model / "config.json").read_text())["eos_token_id"] == [end, text_end]


@pytest.mark.parametrize("is_tied", [True, False])
def test_new_tokens_get_rows_that_are_trained_and_saved(tmp_path: Path, tokenizer: Path, is_tied: bool) -> None:
    small = make_model(tmp_path / "base", tokenizer, tie_word_embeddings=is_tied)
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    tokens, before = len(AutoTokenizer.from_pretrained(bigger)), len(AutoTokenizer.from_pretrained(tokenizer))
    assert tokens > before
    rows = [example(f"r{i}", [5, 6, tokens - 1, 7, tokens - 1], [0, 1, 1, 1, 1]) for i in range(4)]
    trained = train(tmp_path / "run", small, rows, tokenizer=bigger, method="lora")
    model = load_model(small)
    assert add_token_rows(model, tokens) == tokens - before
    mean_row = model.get_input_embeddings().weight[-1].clone()
    with quiet_peft():
        adapted = PeftModel.from_pretrained(model, str(trained.adapter)).get_base_model()
    matrices = [adapted.get_input_embeddings(), adapted.get_output_embeddings()]
    learned = [matrix.modules_to_save["default"].weight for matrix in matrices]
    assert [len(matrix) for matrix in learned] == [tokens, tokens]
    assert not torch.equal(learned[0][-1], mean_row)
    assert torch.equal(learned[0], learned[1]) == is_tied


def test_a_model_grows_for_new_tokens(base: Path, tmp_path: Path) -> None:
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    trained = train(tmp_path / "run", base, ROWS, tokenizer=bigger, max_steps=1)
    tokens = len(AutoTokenizer.from_pretrained(bigger))
    assert len(weights(trained.model)["lm_head.weight"]) == tokens
    assert AutoModelForCausalLM.from_pretrained(trained.model).config.vocab_size == tokens


def test_weights_are_saved_in_the_precision_of_the_base(base: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    load_model(base, torch.bfloat16).save_pretrained(half)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (half / name).write_bytes((base / name).read_bytes())
    trained = train(tmp_path / "run", half, ROWS, max_steps=1)
    assert load_model(trained.model).dtype == torch.bfloat16


def test_bfloat16_arithmetic_trains_too(base: Path, tmp_path: Path, full: Trained) -> None:
    rounded = train(tmp_path, base, ROWS, precision="bfloat16", max_steps=2)
    assert rounded.log["loss"].to_list() == pytest.approx(full.log["loss"].head(2).to_list(), rel=0.02)
    assert abs(rounded.log["loss"][0] / full.log["loss"][0] - 1) > 1e-6
    made = weights(rounded.model)
    assert all(weight.dtype == torch.float32 for weight in made.values())
    assert any(not torch.equal(weight, weight.bfloat16().float()) for weight in made.values())


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.5, 1, 1, 1, 1]), ("linear", [0.5, 1, 1, 0.75, 0.25]), ("cosine", [0.5, 1, 1, 0.853553, 0.146447])],
)
def test_the_rate_rises_and_falls_as_the_schedule_says(schedule: str, expected: list[float]) -> None:
    params = TrainParams.model_validate({"schedule": schedule, "warmup_share": 0.2, "learning_rate": 1.0})
    assert [learning_rate(step, 10, params) for step in (0, 1, 2, 4, 8)] == pytest.approx(expected, rel=1e-5)


def test_the_default_rate_follows_the_method() -> None:
    rates = {
        method: TrainParams.model_validate({"method": method}).highest_learning_rate for method in ("lora", "full")
    }
    assert rates == {"lora": 2e-4, "full": 2e-5}


def test_early_stopping_without_validation_steps_is_refused() -> None:
    with pytest.raises(ValidationError, match="set validate_every_steps"):
        TrainParams(early_stopping_patience=3)


REFUSALS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], type[Exception], str]] = {
    "no train rows": ([example("a", [5, 6, 7], split="validation")], {}, DataError, "none of split train has a token to learn"),
    "unknown token": ([*ROWS, example("odd", [5, 4000, 7])], {}, DataError, r"token id 4000 .* odd \(1 rows\)"),
    "too long": ([*ROWS, example("long", [5] * 600)], {}, DataError, r"longest has 600 tokens and the model 512.* long \(1 rows\)"),
    "negative weight": ([*ROWS, example("odd", [5, 6, 7], weight=-1.0)], {}, DataError, r"weight of 1 rows is negative or no number \(odd\)"),
    "weight is no number": ([*ROWS, example("odd", [5, 6, 7], weight=float("nan"))], {}, DataError, r"no number \(odd\)"),
    "weight without end": ([*ROWS, example("odd", [5, 6, 7], weight=float("inf"))], {}, DataError, r"no number \(odd\)"),
    "no validation rows": (
        [example("a", [5, 6, 7])], {"early_stopping_patience": 1, "validate_every_steps": 1}, ConfigError, "no example is of split validation",
    ),
    "no number": (ROWS, {"learning_rate": 1e30, "max_grad_norm": None}, DataError, r"of step 2 of .* is no number.* rows row-0.*lower learning_rate"),
    "no number then": (
        ROWS, {"learning_rate": 1e30, "max_grad_norm": None, "max_steps": 1}, DataError, "validation loss after step 1 is no number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_what_cannot_be_learned_and_says_why(base: Path, tmp_path: Path, case: str) -> None:
    rows, params, error, text = REFUSALS[case]
    with pytest.raises(error, match=text):
        train(tmp_path, base, rows, **params)
    assert not any((tmp_path / "model").iterdir())


def test_refuses_new_tokens_that_would_not_be_trained(base: Path, tmp_path: Path) -> None:
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=[*CHATML, "<|new|>"], vocab_size=401)
    with pytest.raises(ConfigError, match="tokens that the base has no weights for"):
        train(tmp_path / "run", base, ROWS, tokenizer=bigger, method="lora", train_embeddings=False)


def test_refuses_a_base_that_is_no_model_folder(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"holds no config\.json.*a model folder holds config\.json, model\.safetensors"
    ):
        train(tmp_path, tokenizer, ROWS)
