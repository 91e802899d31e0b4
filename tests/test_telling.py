"""What training says while it runs: rows of unusual losses, answers, a line; and that nobody who listens can stop it."""

import errno
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from exact_gradients import ALONE, by_hand, make_gradients
from stages.modelling.models import load_model, repeatable
from stages.tracking import open_client
from stages.train import samples, telling
from stages.train.batches import Batch, lay_out
from stages.train.position import Position, StepFacts
from stages.train.spikes import ENOUGH, ROWS_TOLD, SPIKES_TOLD, SpikeWatch
from tiny_model import make_config, make_model, save_model
from tiny_tokenizer import make_tokenizer
from tiny_training import arrays, digests, example, random_examples, train
from workbench import lend

pytest_plugins = ["mlflow_database"]

ROWS = random_examples(30)
EXAMPLES = arrays(ROWS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model", make_tokenizer(folder / "tokenizer"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    """With dropout, which shows whoever looks at it in the mode in which it trains."""
    config = make_config(400, attention_dropout=0.5)
    return load_model(save_model(config, tmp_path_factory.mktemp("model")), torch.float32)


def batches() -> list[Batch]:
    packs = [np.arange(start, start + 5) for start in (0, 5)]
    return list(lay_out(EXAMPLES, packs, packing=True, pack_tokens=999))


def watch(model: PreTrainedModel, means: list[float], *, is_alone: bool = True) -> SpikeWatch:
    """A watch that has seen batches with those losses, two a step."""
    watching = SpikeWatch(make_gradients(model, EXAMPLES).forward, EXAMPLES, is_alone=is_alone)
    pair = batches()
    for step in range(0, len(means), 2):
        look(watching, step, means[step : step + 2], pair)
    return watching


def look(watching: SpikeWatch, step: int, means: list[float], pair: list[Batch]) -> None:
    watching.look(step, pair, torch.tensor([mean * batch.weight for mean, batch in zip(means, pair, strict=True)]))


NORMAL_LOSSES = np.random.default_rng(0).normal(2.0, 0.1, size=200).tolist()


def test_a_spike_names_the_rows_that_the_model_finds_hardest(
    model: PreTrainedModel, caplog: pytest.LogCaptureFixture
) -> None:
    with repeatable(1):
        watching = watch(model, NORMAL_LOSSES)
        assert caplog.text == ""
        before = torch.get_rng_state()
        watching.forward.train()
        look(watching, 77, [2.0, 9.0], batches())
        assert torch.equal(torch.get_rng_state(), before)
        assert watching.forward.training
        alone = {EXAMPLES.row_ids[i]: by_hand(model, arrays([ROWS[i]])).loss for i in range(5, 10)}
    (said,) = caplog.messages
    assert said.startswith("step 77: the loss of a batch is 9, and 2")
    hardest = sorted(alone, key=lambda name: -alone[name])[:ROWS_TOLD]
    assert [said.index(name) for name in hardest] == sorted(said.index(name) for name in hardest)
    assert {name for name in alone if name in said} == set(hardest)


def test_noise_falling_losses_and_the_first_steps_are_no_spikes(
    model: PreTrainedModel, caplog: pytest.LogCaptureFixture
) -> None:
    watch(model, NORMAL_LOSSES)
    watch(model, np.geomspace(8.0, 1.0, 100).tolist())
    watch(model, [2.0, 9.0] * (ENOUGH // 2))
    watch(model, [2.0] * 40 + [2.3, 2.4])
    assert caplog.messages == []


def test_a_run_of_spikes_is_not_told_for_ever(model: PreTrainedModel, caplog: pytest.LogCaptureFixture) -> None:
    watching = watch(model, NORMAL_LOSSES, is_alone=False)
    for step in range(60):
        look(watching, step, [2.0, 2.0], batches())
        look(watching, step, [2.0, 9.0], batches())
    assert len(caplog.messages) == SPIKES_TOLD
    assert "in rows row-005, row-006" in caplog.messages[0]
    assert caplog.messages[-1].endswith("further ones are not told")


class Listener:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.numbers: list[dict[str, float]] = []

    def metrics(self, step: int, values: Any) -> None:
        self.numbers.append(dict(values))

    def text(self, name: str, content: str) -> None:
        self.texts[name] = content


def test_answers_are_given_so_often_and_change_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"max_steps": 5, "method": "lora", "lora_dropout": 0.2}
    silent = train(tmp_path / "silent", base, ROWS, **settings)
    heard = Listener()
    monkeypatch.setattr(telling.Teller, "log", property(lambda self: heard, lambda self, value: None), raising=False)
    monkeypatch.setattr("stages.train.machine.SECONDS_BETWEEN_LOOKS", 1e9)
    asked = train(tmp_path / "asked", base, ROWS, sample_every_steps=2, **settings)
    assert digests(asked.adapter) == digests(silent.adapter)
    assert asked.log.equals(silent.log)
    assert list(heard.texts) == [f"samples/step-0000000{step}.txt" for step in (2, 4, 5)]
    first = heard.texts["samples/step-00000002.txt"]
    assert [name in first for name in ("row-009", "row-019", "row-029", "row-000")] == [True, True, True, False]
    assert [line.split(" → ")[0] for line in asked.facts["told"][1:]] == [
        f"step 5, row row-0{number}9" for number in range(3)
    ]
    (said,) = silent.facts["told"]
    assert said.startswith(
        f"{silent.facts['trained_weights']:,} of {silent.facts['all_weights']:,} weights trained; loss "
    )
    assert said.endswith(f", of validation {silent.facts['validation_loss']:.4g}")
    assert all(isinstance(value, int | float) for row in heard.numbers for value in row.values())
    looked = [row for row in heard.numbers if "system/cpu_utilization_percentage" in row]
    assert len(looked) == 1
    assert looked[0]["system/system_memory_usage_megabytes"] > 0


class Numbers:
    """Words that are the token ids."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return "" if skip_special_tokens else " ".join(map(str, ids))


def test_an_answer_is_the_likeliest_to_what_stands_before_the_answer_up_to_its_end(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "ANSWER_TOKENS", 6)
    monkeypatch.setattr(samples, "PROMPT_TOKENS", 4)
    prompts = [[5, 6, 7, 8, 9], [10, 11]]
    with repeatable(1), torch.no_grad():
        said = [prompt[-4:] for prompt in prompts]
        for words in said:
            for _ in range(6):
                words.append(int(model.eval()(input_ids=torch.tensor([words])).logits[0, -1].argmax()))
        end = said[0][4 + 2]  # the third word that the model says to the first
        rows = [example(f"r{n}", [*ids, end], [0] * len(ids) + [1]) for n, ids in enumerate(prompts)]
        forward = make_gradients(model, arrays(rows)).forward
        words_of: Any = Numbers()
        sampler = samples.Sampler(forward.train(), arrays(rows), words_of)
        before = torch.get_rng_state()
        found = sampler.answer(7)
    assert torch.equal(torch.get_rng_state(), before)
    assert forward.training
    for number, (sample, words) in enumerate(zip(found, said, strict=True)):
        length = len(prompts[number][-4:])
        answer = words[length:]
        answer = answer[: answer.index(end) + 1] if end in answer else answer
        assert (sample.step, sample.row_id) == (7, f"r{number}")
        assert [sample.prompt, sample.answer] == [" ".join(map(str, ids)) for ids in (words[:length], answer)]


def test_the_speed_is_that_of_this_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = iter([100.0, 104.0, 134.0, 140.0, 140.0]), list[dict[str, Any]]()
    monkeypatch.setattr(telling.time, "monotonic", lambda: next(clock))
    model: Any = torch.nn.Linear(1, 1)
    forward = make_gradients(model, EXAMPLES).forward
    teller = telling.Teller(ALONE, forward, EXAMPLES, lambda *_, **facts: said.append(facts), Listener())
    teller.begin(Position(step=3, supervised_tokens=1000, total_tokens=5000), 9)
    with teller.between_steps():  # a validation of half a minute
        pass
    now = Position(step=4, supervised_tokens=1500, total_tokens=7000)
    teller.step(now, 9, StepFacts(1.0, 1.0, 500, 2000, 0.1, 1.0), 1.0)
    assert [said[1][f"{kind}_tokens_per_second"] for kind in ("supervised", "total")] == [50, 200]


def test_answers_that_fail_do_not_stop_training(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("stages.train.samples._generate", fail)
    trained = train(tmp_path, base, ROWS, max_steps=2, sample_every_steps=1)
    assert trained.facts["steps"] == 2
    assert "answering prompts failed, and training goes on: CUDA out of memory" in caplog.text


def test_one_dense_line_says_it_all(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, said, looked = lend(tmp_path / "scratch"), [], []
    monkeypatch.setattr(SpikeWatch, "look", lambda _, step, *given: looked.append(step))
    object.__setattr__(bench, "progress", lambda done, total, unit, **facts: said.append((done, total, unit, facts)))
    train(tmp_path, base, ROWS, bench, max_steps=3)
    steps = [(step, 3, "steps") for step in (0, 1, 2, 3)]
    validated = [(batch, 2, "batches of validation") for batch in (1, 2)]
    prepared = [(done, 2, "preparations") for done in (0, 1)]
    assert [entry[:3] for entry in said] == [*prepared, *steps[:-1], *validated, steps[-1]]
    assert list(said[3][3]) == [
        "loss", "lr", "grad_norm", "supervised_tokens_per_second", "total_tokens_per_second", "memory_mib",
    ]  # fmt: skip
    assert all(value > 0 for value in said[-1][3].values())
    assert looked == [1, 2, 3]  # the steps, as training_log counts them


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("log_batch", ConnectionError("the server went away")),
        ("log_text", OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=["server dies", "disk full"],
)
def test_a_log_that_fails_on_the_way_changes_nothing(
    base: Path, database: str, call: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    tmp_path = Path(database.removeprefix("sqlite:///")).parent
    settings = {"max_steps": 4, "sample_every_steps": 1}
    silent = train(tmp_path / "silent", base, ROWS, **settings)
    caplog.clear()
    monkeypatch.setattr("stages.run_log.SEND_SECONDS", 0.0)
    key = f"{call:0<64}"
    bench = lend(tmp_path / "scratch", tracking_uri=database, key=key)

    def fail_from_step_two(done: int, total: int | None, unit: str, **facts: Any) -> None:
        def fail(*given: Any, **named: Any) -> None:
            raise error

        if done and unit == "steps":
            monkeypatch.setattr(f"mlflow.MlflowClient.{call}", fail)

    object.__setattr__(bench, "progress", fail_from_step_two)
    logged = train(tmp_path / "logged", base, ROWS, bench, **settings)
    assert digests(logged.model) == digests(silent.model)
    warned = [record for record in caplog.records if record.name == "stages.run_log"]
    assert {record.levelno for record in warned} == {logging.WARNING}
    assert sum("work goes on without" in record.getMessage() for record in warned) == 1
    client = open_client(database)
    experiment = client.get_experiment_by_name("train")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`temper.key` = '{key}'")
    assert "loss" in run.data.metrics


def test_a_process_is_not_charged_with_the_memory_of_who_started_it() -> None:
    held = bytearray(600 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    count = "from stages.processes.memory import forget_peak, lifetime_peak_bytes; forget_peak(); print(lifetime_peak_bytes())"
    told = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 300 * 2**20 < len(held)
