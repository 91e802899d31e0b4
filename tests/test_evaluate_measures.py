"""Given sequences, answers and counts -> the loss, the diagnosis and the interval of each."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from transformers import PreTrainedModel

from stages.evaluate.answers import answer_prompts, greedy
from stages.evaluate.comparison import base_beside_tuned
from stages.evaluate.diagnosis import is_looping, leaks_role, role_marks, same_answer
from stages.evaluate.losses import estimates_by_slice
from stages.measures.intervals import mean_loss, share
from stages.modelling.chat_template import ChatTemplate, ChatTokenizer
from stages.modelling.models import load_model, repeatable
from stages.modelling.sequence_loss import loss_sums
from stages.modelling.tokenizer_files import open_tokenizer
from stages.tokenize.builtin_templates import CHATML, CHATML_LITE
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from workbench import say_nothing

LLAMA_2 = """\
{% for message in messages %}{% if message.role == 'user' %}{{ bos_token + '[INST] ' + message.content + ' [/INST]' }}\
{% else %}{{ ' ' + message.content + ' ' + eos_token }}{% endif %}{% endfor %}"""
ALPACA = """\
{% for message in messages %}{{ '### Instruction:\n' if message.role == 'user' else '### Response:\n' }}\
{{ message.content + '\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads wait for each other longer than such a small model computes."""
    with repeatable(cpu_threads=1):
        yield


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("measures") / "tokenizer")


@pytest.fixture(scope="module")
def model(tokenizer_folder: Path) -> PreTrainedModel:
    """A random model; its answers mean nothing and are the same every time."""
    return load_model(make_model(tokenizer_folder.parent / "model", tokenizer_folder))


def loss_alone(model: PreTrainedModel, ids: Sequence[int], mask: Sequence[int]) -> float:
    """The sum that `loss_sums` should give, from one sequence without padding, token by token."""
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return -sum(float(log_p[i - 1, ids[i]]) for i in range(1, len(ids)) if mask[i])


@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
def test_a_loss_is_that_of_the_sequence_alone_however_they_are_batched(
    model: PreTrainedModel, batch_tokens: int
) -> None:
    random = np.random.default_rng(0)
    rows = [random.integers(0, 300, size=size).tolist() for size in (2, 9, 30, 5)]
    masks = [[1, *random.integers(0, 2, size=len(row) - 2).tolist(), 1] for row in rows]
    expected = [loss_alone(model, row, mask) for row, mask in zip(rows, masks, strict=True)]

    sequences = pl.DataFrame({"input_ids": rows, "loss_mask": masks})
    assert loss_sums(model, sequences, batch_tokens=batch_tokens, progress=say_nothing) == pytest.approx(
        expected, rel=1e-5
    )


def test_losses_are_weighted_by_tokens_and_turns_of_a_conversation_are_one_item() -> None:
    sequences = pl.DataFrame(
        [
            {"row_id": "a", "source": "one", "loss_mask": [1, 1]},  # the first token has nothing to be predicted from
            {"row_id": "a", "source": "one", "loss_mask": [0, 1, 1, 1]},
            {"row_id": "b", "source": "all", "loss_mask": [0, 1, 1]},
        ]
    )
    estimates = estimates_by_slice(sequences, np.array([2.0, 6.0, 1.0]), resamples=100, seed=0)

    assert {name: (e.value, e.n) for name, e in estimates.items()} == {
        "all": (9 / 6, 2),
        "one": (8 / 4, 1),
        "source all": (1 / 2, 1),
    }


def test_the_interval_of_a_loss_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        tokens = random.integers(5, 50, size=60).astype(float)
        estimate = mean_loss(random.gamma(2.0, 1.0, size=60) * tokens, tokens, resamples=200, seed=seed)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 2.0 <= estimate.high
    assert 0.88 <= covered / 200 <= 0.99


def test_one_item_has_no_interval() -> None:
    assert mean_loss(np.array([3.0]), np.array([2.0]), resamples=100, seed=0) == (1.5, None, None, 1)


@pytest.mark.parametrize(("count", "n"), [(0, 8), (8, 8), (3, 8), (60, 64)])
def test_the_interval_of_a_share_is_wilsons(count: int, n: int) -> None:
    expected = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")

    assert share(count, n) == (
        count / n,
        pytest.approx(expected.low, abs=1e-6),
        pytest.approx(expected.high, abs=1e-6),
        n,
    )


@pytest.mark.parametrize(
    ("ids", "looping"),
    [
        ([7] * 16, True),
        ([7] * 15, False),
        ([1, 2, 3, 4, 5] * 4, True),
        ([9, 9, 8, 1, 2, 3, 4, 5, *[1, 2, 3, 4, 5] * 3], True),
        ([1, 2, 3, 4, 5] * 3, False),
        ([*[1, 2, 3, 4, 5] * 4, 6], False),
        ([1, 2, 3, 4, 5, *[1, 2, 3, 4, 5] * 4, 1, 2], True),  # cut within a repeat
        (list(range(64)), False),
        ([], False),
    ],
)
def test_an_answer_loops_when_it_ends_in_the_same_tokens_again_and_again(ids: list[int], looping: bool) -> None:
    assert is_looping(ids) is looping


@pytest.mark.parametrize(
    ("answer", "same"),
    [("It is Paris.", True), (" it  is\nPARIS", True), ("It is paris!", False), ("Paris", False), ("", False)],
)
def test_two_answers_are_the_same_but_for_case_space_and_a_full_stop(answer: str, same: bool) -> None:
    assert same_answer(answer, "It is Paris.") is same


@pytest.mark.parametrize(
    ("template", "end", "marks"),
    [
        (CHATML, "<|im_end|>", {"<|im_start|>"}),
        (CHATML_LITE, "<|end|>", {"<|user|>", "<|assistant|>"}),
        (LLAMA_2, "</s>", {"[INST]", "[/INST]"}),
        (ALPACA, "</s>", {"### Instruction:", "### Response:"}),
    ],
)
def test_the_marks_of_a_role_are_what_the_template_writes_between_turns(
    tokenizer_folder: Path, template: str, end: str, marks: set[str]
) -> None:
    backend = open_tokenizer(tokenizer_folder).backend_tokenizer
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    found = role_marks(ChatTokenizer(backend, ChatTemplate(template, special), end), {end})

    assert {mark.removeprefix("<s>") for mark in found} == marks
    assert leaks_role(f"Paris.\n{sorted(found)[0]}\nAnd Rome?", found)
    assert not leaks_role("The user asked the assistant: what is 2 < 3?", found)


def test_a_template_that_refuses_the_probe_has_no_marks(tokenizer_folder: Path) -> None:
    template = ChatTemplate("{{ raise_exception('system first') }}", {})

    backend = open_tokenizer(tokenizer_folder).backend_tokenizer
    assert role_marks(ChatTokenizer(backend, template, None), set()) == frozenset()


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_an_answer_is_the_most_likely_continuation_alone_and_beside_longer_prompts(
    model: PreTrainedModel, batch_tokens: int
) -> None:
    prompts = [[5, 6, 7], [9] * 40, [11]]
    expected = [continue_alone(model, prompt, 12) for prompt in prompts]
    stop = expected[0][4]
    settings = greedy([stop], max_new_tokens=12)

    answers = answer_prompts(model, prompts, settings, batch_tokens=batch_tokens, progress=say_nothing)

    for answer, ids in zip(answers, expected, strict=True):
        assert answer.stopped is (stop in ids)
        assert answer.ids == (ids[: ids.index(stop)] if stop in ids else ids)


def continue_alone(model: PreTrainedModel, prompt: Sequence[int], tokens: int) -> list[int]:
    ids: list[Any] = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_base_and_tuned_are_told_side_by_side() -> None:
    rows = [{"metric": metric, "model": model, "slice": part, "value": value} for metric, model, part, value in (
        ("held_out_loss", "base", "all", 5.0849), ("held_out_loss", "base", "source: a", 9.0), ("stop_rate", "base", "all", 0.0),
        ("held_out_loss", "tuned", "all", 0.5), ("stop_rate", "tuned", "all", 1.0),
    )]  # fmt: skip
    assert base_beside_tuned(rows) == ["held_out_loss 5.085 -> 0.500", "stop_rate 0.000 -> 1.000"]
