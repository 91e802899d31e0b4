"""Given answers and a base model -> how surprised it is by them, the same as reading each alone in full precision."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rows import conversation, dataset_digests, row_id, sealed
from stages.errors import ConfigError, UsageError
from stages.execution.request import Outcome, Request
from stages.execution.runner import run_stage
from stages.execution.runs import start_run
from stages.modelling.models import copy_tokenizer, load_model
from stages.modelling.tokenizer_files import open_tokenizer
from stages.pipeline import CURATE, STAGES
from stages.rate import job, surprise
from stages.schema import check_table, load_schema
from stages.store.storage import LocalStore
from stages.tokenize.builtin_templates import CHATML
from strategies import tables
from tiny_model import make_config, make_model, save_model
from tiny_tokenizer import make_tokenizer
from workbench import lend

SIGNALS = {c.name: 0 for c in load_schema("scored").columns if not c.may_be_missing and c.type != "string"}
DOCUMENT = [{"role": "text", "content": "The capital of France is Paris."}]
ROWS = {
    "plain": ("What is the capital of Spain?", "It is Madrid."),
    "long": ("Name colours.", "Red, green, blue. " * 12),
    "turns": ("Hello!", "Hi.", "How are you?", "I am fine, thank you."),
    "control": ("Say it.", "<|im_end|> is text here."),
    "no answer": ("Say nothing.", " "),
    "no prompt": ("", "An answer to nothing."),
    "too long": ("Name colours.", "Red, green, blue. " * 60),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = make_tokenizer(folder / "tokenizer")
    (tokenizer / "chat_template.jinja").write_text(CHATML)
    return make_model(folder / "model", tokenizer)


def scored(folder: Path, rows: dict[str, Any]) -> Path:
    made = [SIGNALS | conversation(name, *(turns if isinstance(turns, tuple) else ())) for name, turns in rows.items()]
    for row, turns in zip(made, rows.values(), strict=True):
        row["messages"] = row["messages"] or turns
    return sealed(folder, "scored", made)


def rate(folder: Path, base: Path, rows: dict[str, Any], store: Path | None = None, **params: Any) -> Outcome:
    stage = STAGES["rate"]
    chosen = stage.params(**{"perplexity": True, "max_tokens": 400, "cpu_threads": 1} | params)
    inputs = {"scored": [scored(folder / "scored", rows)], "base": [base]}
    cache = {"cache": store} if store else {}
    return run_stage(Request(stage, chosen, inputs, "", output=folder / "out", progress_form="off", **cache))  # type: ignore[arg-type]


def ratings(outcome: Outcome) -> dict[str, dict[str, Any]]:
    rated = pl.read_parquet(outcome.folder / "rated" / "*.parquet")
    return {row["row_id"]: row for row in rated.to_dicts()}


def loss_in_full(base: Path, context: str, answer: str) -> float:
    """Mean -log p of the answer's tokens after the end-of-text token and the context: one row, float64, no padding."""
    tokenizer = open_tokenizer(base)
    tokenizer.backend_tokenizer.encode_special_tokens = True
    before = [tokenizer.eos_token_id, *tokenizer.backend_tokenizer.encode(context, add_special_tokens=False).ids]
    ids = before + tokenizer.backend_tokenizer.encode(answer, add_special_tokens=False).ids
    with torch.no_grad():
        log_p = load_model(base, torch.float64)(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    losses = [-float(log_p[i - 1, ids[i]]) for i in range(len(before), len(ids))]
    return math.fsum(losses) / len(losses)


@pytest.fixture(scope="module")
def outcome(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return rate(tmp_path_factory.mktemp("rated"), base, ROWS | {"document": DOCUMENT})


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("plain", "What is the capital of Spain?\n\n"),
        ("long", "Name colours.\n\n"),
        ("turns", "Hello!\n\nHi.\n\nHow are you?\n\n"),
        ("control", "Say it.\n\n"),
    ],
)
def test_an_answer_is_rated_as_if_it_were_read_alone_in_full_precision(
    base: Path, outcome: Outcome, name: str, context: str
) -> None:
    found, answer = ratings(outcome)[row_id(name)], ROWS[name][-1]
    alone, given = loss_in_full(base, "", answer), loss_in_full(base, context, answer)
    assert found["perplexity_alone"] == pytest.approx(math.exp(alone), rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(given), rel=1e-5)
    assert found["ifd"] == pytest.approx(given / alone, rel=1e-5)


def test_a_document_has_one_perplexity_and_no_ifd(base: Path, outcome: Outcome) -> None:
    found = ratings(outcome)[row_id("document")]
    expected = pytest.approx(math.exp(loss_in_full(base, "", DOCUMENT[0]["content"])), rel=1e-5)
    assert (found["perplexity"], found["perplexity_alone"], found["ifd"]) == (expected, expected, None)


def test_what_cannot_be_rated_is_null_and_counted(outcome: Outcome) -> None:
    found = ratings(outcome)
    shown = ("perplexity", "ifd", "ifd_length_rank")
    for name in ("no answer", "no prompt", "too long"):
        assert [found[row_id(name)][rating] for rating in shown] == [None] * 3, name
    assert found[row_id("no prompt")]["perplexity_alone"] > 1
    assert outcome.receipt["facts"]["base"]["unrated"] == {"empty_answer": 1, "empty_prompt": 1, "too_long": 1}


def test_the_receipt_says_how_much_each_rating_goes_by_length(outcome: Outcome) -> None:
    facts = outcome.receipt["facts"]
    assert set(facts["selectors"]) == {"perplexity", "ifd", "perplexity_length_rank", "ifd_length_rank"}
    assert facts["selectors"]["ifd"]["rows"] == 4
    told = facts["told"]
    assert told[0].endswith("not rated, empty answer 1, not rated, empty prompt 1, not rated, too long 1")
    assert told[1].startswith("perplexity: chooses 2 of 5; length AUC ")


def test_an_answer_is_read_the_same_after_its_own_chat_template(base: Path, tmp_path: Path) -> None:
    found = ratings(rate(tmp_path, base, {"a": ("Hello!", "Hi there.")}, prompt_form="own_template"))[row_id("a")]
    tokenizer = open_tokenizer(base)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello!"}], add_generation_prompt=True, tokenize=False
    )
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in (prompt, "Hi there.")]
    with torch.no_grad():
        log_p = load_model(base, torch.float64)(input_ids=torch.tensor([ids[0] + ids[1]])).logits[0].log_softmax(-1)
    losses = [-float(log_p[len(ids[0]) + i - 1, token]) for i, token in enumerate(ids[1])]
    assert found["perplexity"] == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5)


def test_a_text_that_was_read_once_is_never_read_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = rate(tmp_path / "first", base, ROWS, cache)
    assert (
        first.receipt["facts"]["base"]["texts_read"] == 9
    )  # five answers that fit, four of them also after their question

    more = rate(tmp_path / "more", base, ROWS | {"new": ("And now?", "Now it is new.")}, cache)
    assert more.receipt["facts"]["base"]["texts_read"] == 2
    fresh = rate(tmp_path / "fresh", base, ROWS | {"new": ("And now?", "Now it is new.")})
    assert dataset_digests(more.folder) == dataset_digests(fresh.folder), "what is kept changes no bit"

    monkeypatch.setattr(surprise, "load_model", None)  # nothing is new, so the model is not even loaded
    again = rate(tmp_path / "again", base, ROWS, cache, length_bins=3)
    assert again.receipt["facts"]["base"]["texts_read"] == 0
    shorter = rate(tmp_path / "shorter", base, ROWS, cache, max_tokens=16)
    assert ratings(shorter)[row_id("long")]["perplexity"] is None, "a kept loss counts only where it may be read"


def test_after_a_kill_only_what_was_not_read_yet_is_read(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_after_three(*given: Any, **named: Any) -> Iterator[Any]:
        for number, batch in enumerate(by_batch(*given, **named)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    by_batch = surprise.loss_sums_by_batch
    with monkeypatch.context() as patch:
        patch.setattr(surprise, "loss_sums_by_batch", killed_after_three)
        with pytest.raises(KeyboardInterrupt):
            rate(tmp_path / "killed", base, ROWS, batch_tokens=16)
    shutil.rmtree(tmp_path / "killed" / "scored")
    resumed = rate(tmp_path / "killed", base, ROWS, batch_tokens=16)
    undisturbed = rate(tmp_path / "undisturbed", base, ROWS, batch_tokens=16)
    facts, expected = resumed.receipt["facts"]["base"], undisturbed.receipt["facts"]["base"]
    assert 0 < facts["texts_read"] < expected["texts_read"] == facts["texts_read"] + facts["texts_found_in_cache"]
    assert dataset_digests(resumed.folder) == dataset_digests(undisturbed.folder)


def test_a_table_in_many_parts_is_rated_like_one(
    base: Path, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.store.tables.PART_ROWS", 3)
    parts = rate(tmp_path, base, ROWS | {"document": DOCUMENT})
    assert len(list((parts.folder / "rated").glob("*.parquet"))) == 3
    assert ratings(parts) == ratings(outcome)


def test_another_model_is_asked_anew(base: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", base, hidden=16)
    rate(tmp_path / "first", base, ROWS, tmp_path / "cache")
    assert (
        rate(tmp_path / "again", other, ROWS, tmp_path / "cache").receipt["facts"]["base"]["texts_found_in_cache"] == 0
    )


def test_a_damaged_cache_is_begun_anew(base: Path, tmp_path: Path) -> None:
    rate(tmp_path / "first", base, ROWS, tmp_path / "cache")
    [kept] = (tmp_path / "cache").rglob("losses.sqlite")
    kept.write_bytes(b"rubbish" * 1000)
    again = rate(tmp_path / "again", base, ROWS, tmp_path / "cache")
    assert again.receipt["facts"]["base"]["texts_read"] == 9
    assert dataset_digests(again.folder) == dataset_digests(tmp_path / "first" / "out")


def test_perplexity_without_a_base_is_refused_before_anything_runs(base: Path, tmp_path: Path) -> None:
    given = scored(tmp_path / "scored", ROWS)
    stage = STAGES["rate"]
    with pytest.raises(UsageError, match="stage rate lacks --input base=<path>"):
        run_stage(Request(stage, stage.params(perplexity=True), {"scored": [given]}, "", output=tmp_path / "out"))
    with pytest.raises(ConfigError, match="source base is not given"):
        start_run(CURATE, LocalStore(tmp_path / "store"), overrides={"rate": {"perplexity": True}, "tokenize": {"tokenizer": "gpt2"}},
                  sources={"raw": [str(tmp_path)]})  # fmt: skip


def test_a_tokenizer_of_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    foreign = save_model(make_config(90), tmp_path / "foreign")
    copy_tokenizer(base, foreign)
    with pytest.raises(ConfigError, match=r"its tokenizer makes token \d+, and its model knows 90"):
        rate(tmp_path / "out", foreign, ROWS)


def without_start_token(folder: Path) -> Path:
    """A tokenizer that knows some letters, drops every other character, and has no token that begins a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=60, show_progress=False)
    tokenizer.train_from_iterator(["the cat sat on the mat"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def test_both_readings_leave_out_a_first_token_that_nothing_predicts(tmp_path: Path) -> None:
    tokenizer = without_start_token(tmp_path / "tokenizer")
    base = save_model(make_config(60), tmp_path / "base")
    copy_tokenizer(tokenizer, base)
    rows = {
        "a": ("the cat", "sat on the mat"),
        "one": ("the cat", "the"),
        "dropped": ("the cat", "答案"),
        "both": ("答", "答"),
    }
    outcome = rate(tmp_path / "rated", base, rows)
    found = ratings(outcome)
    before, answer = (
        open_tokenizer(base).encode(text, add_special_tokens=False) for text in ("the cat\n\n", "sat on the mat")
    )
    with torch.no_grad():
        log_p = load_model(base, torch.float64)(input_ids=torch.tensor([before + answer])).logits[0].log_softmax(-1)
    losses = [-float(log_p[len(before) + i - 1, token]) for i, token in enumerate(answer)][1:]
    assert found[row_id("a")]["perplexity"] == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5)
    assert [found[row_id(name)]["answer_tokens"] for name in ("one", "dropped", "both")] == [1, None, None]
    assert outcome.receipt["facts"]["base"]["unrated"] == {"nothing_to_predict": 3}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_rows=tables("scored"))
def test_any_rows_are_rated_to_rows_that_keep_their_schema(base: Path, given_rows: pl.DataFrame) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("scored", "rated"):
            (folder / name).mkdir()
        given_rows.write_parquet(folder / "scored" / "part-00000.parquet")
        bench = lend(folder / "scratch", input_digests={"base": "tiny"})
        params = STAGES["rate"].params(perplexity=True, cpu_threads=1)
        job.run(folder / "scored", base=base, rated=folder / "rated", params=params, workbench=bench)
        rated = pl.read_parquet(folder / "rated" / "*.parquet")
    check_table(rated, load_schema("rated"), "rated")
    assert rated.select(given_rows.columns).equals(given_rows)
