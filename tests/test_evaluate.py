"""Given a base model, a tuned one and held-out data -> what is measured, and what each of them answered."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
import torch
from torch.nn import functional

from rows import chat, row_id, sealed
from stages.errors import DataError
from stages.evaluate import job
from stages.evaluate.held_out import HeldOut, held_out_prompts
from stages.evaluate.stage import EvaluateParams
from stages.modelling.chat_template import ChatTemplate, ChatTokenizer
from stages.modelling.models import load_model, repeatable
from stages.modelling.tokenizer_files import open_chat_tokenizer
from stages.raw_files.source_files import list_source_files
from stages.schema import check_table, load_schema
from stages.tokenize.builtin_templates import CHATML
from tiny_model import make_model
from tiny_tokenizer import CHATML as CHATML_TOKENS
from tiny_tokenizer import make_tokenizer
from workbench import lend

COUNTRIES = ["France", "Italy", "Spain", "Chile", "Kenya", "Japan", "Peru", "Cuba"]
CAPITALS = ["Paris", "Rome", "Madrid", "Santiago", "Nairobi", "Tokyo", "Lima", "Havana"]


class World(NamedTuple):
    """Models and data of one test module; `inputs` are the datasets that the job reads."""

    chat: ChatTokenizer
    inputs: dict[str, Path]
    text: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A random base; a model tuned until it knows eight capitals by heart; the same eight questions held out."""
    folder = tmp_path_factory.mktemp("world")
    tokenizer = make_tokenizer(
        folder / "tokenizer", texts=[ask(c) + a for c, a in zip(COUNTRIES, CAPITALS, strict=True)]
    )
    (tokenizer / "chat_template.jinja").write_text(CHATML)
    end = CHATML_TOKENS.index("<|im_end|>")
    base = make_model(folder / "base", tokenizer, eos_token_id=end)
    made = open_chat_tokenizer(base)
    questions = [chat(ask(c), f"It is {a}.") for c, a in zip(COUNTRIES, CAPITALS, strict=True)]
    examples = [example(made, messages, source) for messages, source in zip(questions, SOURCES, strict=True)]
    signals = {c.name: 0 for c in load_schema("scored").columns if not c.may_be_missing and c.type != "string"}
    mixture = [
        signals | {"row_id": e["row_id"], "source": e["source"], "split": "test", "messages": m}
        for e, m in zip(examples, questions, strict=True)
    ]
    (folder / "text").mkdir()
    (folder / "text" / "prose.txt").write_text(
        "\n\n".join(f"{a} lies in {c}." for c, a in zip(COUNTRIES, CAPITALS, strict=True))
    )
    return World(
        made,
        {
            "base": base,
            "model": learn(base, tokenizer, examples, folder / "model"),
            "examples": sealed(folder / "examples", "examples", examples),
            "mixture": sealed(folder / "mixture", "mixture", mixture),
        },
        folder / "text",
    )


SOURCES = ["alpaca"] * 5 + ["dolly"] * 3


def ask(country: str) -> str:
    return f"What is the capital of {country}?"


def example(made: ChatTokenizer, messages: Sequence[dict[str, Any]], source: str) -> dict[str, Any]:
    """One row of `examples`: the prompt, then the answer with its end token, which count."""
    prompt = made.prompt_ids(messages[:-1])
    answer = made.encode([messages[-1]["content"] + "<|im_end|>"])[0]
    mask = [0] * len(prompt) + [1] * len(answer)
    name = row_id(messages[0]["content"])
    return {"row_id": name, "source": source, "split": "test", "input_ids": prompt + answer, "loss_mask": mask}


def learn(base: Path, tokenizer: Path, examples: Sequence[dict[str, Any]], folder: Path) -> Path:
    """A copy of the base that was trained on the examples until it knows them."""
    make_model(folder, tokenizer, eos_token_id=CHATML_TOKENS.index("<|im_end|>"))
    model = load_model(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    width = max(len(e["input_ids"]) for e in examples)
    ids = torch.tensor([e["input_ids"] + [0] * (width - len(e["input_ids"])) for e in examples])
    counts = torch.tensor([e["loss_mask"] + [0] * (width - len(e["loss_mask"])) for e in examples]).bool()
    with repeatable(cpu_threads=1):
        for _ in range(80):
            logits = model(input_ids=ids).logits[:, :-1]
            functional.cross_entropy(logits[counts[:, 1:]], ids[:, 1:][counts[:, 1:]]).backward()
            optimizer.step()
            optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def evaluate(
    tmp_path: Path, inputs: dict[str, Any], **params: Any
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """Runs the job; returns both tables, checked against their schemas, and its facts."""
    outputs = {name: tmp_path / name for name in ("evaluation", "generations")}
    for folder in outputs.values():
        folder.mkdir()
    settings = EvaluateParams(**{"max_new_tokens": 16, "resamples": 100, "cpu_threads": 1, **params})
    facts = job.run(**inputs, **outputs, params=settings, workbench=lend(tmp_path / "scratch"))
    tables = {}
    for name, folder in outputs.items():
        schema = load_schema(name)
        tables[name] = pl.read_parquet(folder / "*.parquet").sort(schema.key)
        check_table(tables[name], schema, name)
    return tables["evaluation"], tables["generations"], facts


def values(evaluation: pl.DataFrame, model: str, slice_name: str = "all") -> dict[str, float]:
    rows = evaluation.filter(model=model, slice=slice_name)
    return dict(rows.select("metric", "value").rows())


@pytest.mark.slow
def test_a_tuned_model_answers_and_stops_where_its_base_does_not(tmp_path: Path, world: World) -> None:
    evaluation, generations, facts = evaluate(tmp_path, world.inputs | {"plain_text": list_source_files([world.text])})

    base, tuned = values(evaluation, "base"), values(evaluation, "tuned")
    assert tuned["held_out_loss"] < 0.1
    assert base["held_out_loss"] > 4
    assert tuned["plain_text_loss"] != base["plain_text_loss"]
    assert (base["stop_rate"], tuned["stop_rate"]) == (0.0, 1.0)
    assert (base["exact_match_rate"], tuned["exact_match_rate"]) == (0.0, 1.0)
    assert tuned["looping_rate"] == tuned["role_leak_rate"] == 0.0
    assert set(values(evaluation, "tuned", "dolly")) == {"held_out_loss"}
    assert evaluation.filter(metric="held_out_loss", model="base").select("slice", "n").rows() == [
        ("all", 8),
        ("alpaca", 5),
        ("dolly", 3),
    ]
    assert generations.filter(prompt=ask("Chile")).select("reference", "tuned_answer", "tuned_stopped").row(0) == (
        "It is Santiago.",
        "It is Santiago.",
        True,
    )
    assert len(facts.pop("told")) == 6, "two losses and four rates"
    assert facts == {
        "split": "test",
        "prompts": 8,
        "prompts_passed_over": 0,
        "held_out_loss_sequences": 8,
        "plain_text_loss_sequences": 1,
        "base_measured_before": False,
    }


@pytest.mark.slow
def test_a_model_compared_with_itself_scores_the_same_and_twice_the_same(tmp_path: Path, world: World) -> None:
    inputs = world.inputs | {"base": world.inputs["model"]}
    (tmp_path / "again").mkdir()
    first, again = evaluate(tmp_path, inputs), evaluate(tmp_path / "again", inputs)

    assert values(first[0], "base") == values(first[0], "tuned")
    assert first[0].equals(again[0])
    assert first[1].equals(again[1])


@pytest.mark.slow
def test_a_base_without_the_new_tokens_is_given_rows_for_them(tmp_path: Path, world: World) -> None:
    plain = make_tokenizer(tmp_path / "plain", special_tokens=["<|endoftext|>"], vocab_size=300)
    smaller = make_model(tmp_path / "smaller", plain)
    evaluation, *_ = evaluate(tmp_path, world.inputs | {"base": smaller})

    assert values(evaluation, "base")["stop_rate"] == 0.0
    assert values(evaluation, "base")["held_out_loss"] > 4


@pytest.mark.slow
def test_validation_stands_in_for_an_empty_test_split(tmp_path: Path, world: World) -> None:
    def moved(name: str) -> Path:
        rows = pl.read_parquet(world.inputs[name] / "*.parquet").with_columns(split=pl.lit("validation"))
        return sealed(tmp_path / "moved" / name, name, rows.to_dicts())

    _, generations, facts = evaluate(
        tmp_path, world.inputs | {n: moved(n) for n in ("examples", "mixture")}, max_prompts=3
    )

    assert facts["split"] == "validation"
    assert generations.height == 3


@pytest.mark.slow
def test_without_prompts_there_are_losses_and_no_rates(tmp_path: Path, world: World) -> None:
    evaluation, generations, _ = evaluate(tmp_path, world.inputs, max_prompts=0)

    assert evaluation["metric"].unique().to_list() == ["held_out_loss"]
    assert generations.is_empty()


@pytest.mark.slow
def test_the_held_out_loss_is_that_of_answers_where_there_are_any(tmp_path: Path, world: World) -> None:
    rows = pl.read_parquet(world.inputs["examples"] / "*.parquet").to_dicts()
    documents = [
        row
        | {"row_id": row_id(row["row_id"]), "form": "document", "loss_mask": [0] + [1] * (len(row["loss_mask"]) - 1)}
        for row in rows
    ]
    counts = {}
    for name, given in (("mixed", rows + documents), ("documents", documents)):
        inputs = world.inputs | {"examples": sealed(tmp_path / name / "examples", "examples", given)}
        counts[name] = evaluate(tmp_path / name, inputs, max_prompts=0)[2]["held_out_loss_sequences"]

    assert counts == {"mixed": 8, "documents": 8}


def test_data_without_a_held_out_example_is_refused(tmp_path: Path, world: World) -> None:
    rows = pl.read_parquet(world.inputs["examples"] / "*.parquet").with_columns(split=pl.lit("train")).to_dicts()
    with pytest.raises(DataError, match="none of 8 examples is in split test or validation"):
        evaluate(tmp_path, world.inputs | {"examples": sealed(tmp_path / "examples", "examples", rows)})


def test_plain_text_without_a_document_is_refused(tmp_path: Path, world: World) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "numbers.jsonl").write_text('{"number": 1}\n')
    with pytest.raises(DataError, match="none of 1 files holds a document"):
        evaluate(tmp_path, world.inputs | {"plain_text": list_source_files([tmp_path / "text"])})


@pytest.mark.parametrize("beyond", [0, 50_000])
def test_examples_of_another_tokenizer_are_refused(tmp_path: Path, world: World, beyond: int) -> None:
    rows = pl.read_parquet(world.inputs["examples"] / "*.parquet").to_dicts()
    token = json.loads((world.inputs["model"] / "config.json").read_text())["vocab_size"] + beyond
    rows[3]["input_ids"][5] = token
    with pytest.raises(DataError, match=f"token id {token} is beyond the"):
        evaluate(tmp_path, world.inputs | {"examples": sealed(tmp_path / "examples", "examples", rows)})


@pytest.mark.parametrize("shorter", ["base", "model"])
def test_both_models_are_given_only_what_both_can_read(tmp_path: Path, world: World, shorter: str) -> None:
    folder = shutil.copytree(world.inputs[shorter], tmp_path / shorter)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4}))
    with pytest.raises(DataError, match="at most 4 tokens, which is what the model can read"):
        evaluate(tmp_path, world.inputs | {shorter: folder})


def test_a_prompt_is_rendered_with_what_its_example_was_trained_with(world: World, tmp_path: Path) -> None:
    template = CHATML.replace("add_generation_prompt", "add_generation_prompt and not (enable_thinking is defined)")
    asks = ChatTokenizer(world.chat.backend, ChatTemplate(template, {}), "<|im_end|>")
    rows = pl.read_parquet(world.inputs["examples"] / "*.parquet")
    first = rows["row_id"].sort()[0]
    told = pl.when(pl.col("row_id") == first).then(pl.lit('{"enable_thinking": false}'))
    examples = sealed(tmp_path / "examples", "examples", rows.with_columns(prompt_settings=told).to_dicts())
    prompts, _ = held_out_prompts(HeldOut(world.inputs["mixture"], examples, "test"), asks, EvaluateParams(), 4096)
    opened = [asks.decode(ids).endswith("<|im_start|>assistant\n") for ids in prompts.sort("row_id")["prompt_ids"]]
    assert opened == [False] + [True] * (prompts.height - 1)


def test_the_base_is_measured_once_for_all_models_tuned_from_it(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    load = job.load_model
    monkeypatch.setattr(job, "load_model", lambda folder, *rest: loaded.append(folder) or load(folder, *rest))

    def measure(name: str, digest: str, **params: Any) -> pl.DataFrame:
        outputs = {output: tmp_path / name / output for output in ("evaluation", "generations")}
        for folder in outputs.values():
            folder.mkdir(parents=True)
        settings = EvaluateParams(max_new_tokens=4, resamples=100, cpu_threads=1, **params)
        bench = lend(tmp_path / "bench", input_digests={"base": digest})
        job.run(**world.inputs, **outputs, params=settings, workbench=bench)
        return pl.read_parquet(outputs["evaluation"] / "*.parquet")

    base, model = world.inputs["base"], world.inputs["model"]
    first = measure("first", "a" * 64)
    assert measure("again", "a" * 64).equals(first)
    assert loaded == [base, model, model]
    measure("other-base", "b" * 64)
    measure("fewer", "a" * 64, max_prompts=2)
    assert loaded[3:] == [base, model, base, model]
    for path in (tmp_path / "bench" / "cache").glob("base-*.json"):
        path.write_text("{", encoding="utf-8")  # a damaged one is measured again
    assert measure("damaged", "a" * 64).equals(first)
    assert loaded[7:] == [base, model]
