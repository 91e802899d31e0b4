"""Given scored rows and a base model -> a vector per row, the same whatever stands beside it, made once."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from rows import conversation, row_id, sealed
from stages.execution.request import Outcome, Request
from stages.execution.runner import run_stage
from stages.modelling import sequence_means
from stages.modelling.models import load_model
from stages.modelling.sequence_means import means_by_batch
from stages.modelling.tokenizer_files import open_tokenizer
from stages.pipeline import STAGES
from stages.schema import load_schema
from tiny_model import make_config, make_model, save_model
from tiny_tokenizer import make_tokenizer

SIGNALS = {c.name: 0 for c in load_schema("scored").columns if not c.may_be_missing and c.type != "string"}
ROWS = {
    "spain": ("What is the capital of Spain?", "It is Madrid."),
    "long": ("Name colours.", "Red, green, blue. " * 60),
    "again": ("What is the capital of Spain?", "It is Madrid."),
    "nothing": (" ", " "),
}
LONGEST = 64


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model", make_tokenizer(folder / "tokenizer"))


def embed(folder: Path, base: Path, names: list[str], **params: Any) -> Outcome:
    rows = [SIGNALS | conversation(name, *ROWS[name]) for name in names]
    stage = STAGES["rate"]
    chosen = stage.params(embed=True, max_tokens=LONGEST, cpu_threads=1, **params)
    inputs = {"scored": [sealed(folder / "scored", "scored", rows)], "base": [base]}
    return run_stage(
        Request(stage, chosen, inputs, "", output=folder / "out", cache=folder.parent / "cache", progress_form="off")
    )


def embeddings(outcome: Outcome) -> dict[str, list[float] | None]:
    rated = pl.read_parquet(outcome.folder / "rated" / "*.parquet")
    return dict(rated.select("row_id", "embedding").rows())


def mean_in_full(base: Path, text: str) -> np.ndarray[Any, Any]:
    """Of one text alone: the mean of the last hidden states of its tokens, of length 1."""
    tokenizer = open_tokenizer(base)
    ids = [tokenizer.eos_token_id, *tokenizer.encode(text, add_special_tokens=False)][:LONGEST]
    with torch.no_grad():
        hidden = load_model(base, torch.float64).get_decoder()(input_ids=torch.tensor([ids])).last_hidden_state[0]
    mean = hidden[1:].mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


def test_a_row_is_the_mean_of_what_the_last_layer_says_of_its_first_tokens(base: Path, tmp_path: Path) -> None:
    found = embeddings(embed(tmp_path, base, list(ROWS)))
    for name in ("spain", "long"):
        assert found[row_id(name)] == pytest.approx(mean_in_full(base, "\n".join(ROWS[name]).strip("\n")), abs=2e-3)
    assert found[row_id("again")] == found[row_id("spain")]
    assert found[row_id("nothing")] is None


def test_a_vector_is_made_once_and_is_the_same_beside_other_rows(base: Path, tmp_path: Path) -> None:
    alone = embed(tmp_path / "one", base, ["spain"], batch_tokens=16)
    (tmp_path / "cache").rename(tmp_path / "kept")
    together = embed(tmp_path / "two", base, list(ROWS), batch_tokens=16)
    assert embeddings(together)[row_id("spain")] == embeddings(alone)[row_id("spain")]
    again = embed(tmp_path / "three", base, ["long", "spain"], batch_tokens=16)
    assert again.receipt["facts"]["base"] == {"texts_read": 0, "texts_found_in_cache": 2, "unrated": {}}


def test_wide_vectors_are_shortened_and_keep_who_is_near(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = load_model(save_model(make_config(300), tmp_path / "model"))
    random = np.random.default_rng(0)
    ids = [random.integers(0, 300, 40).tolist() for _ in range(3)]
    near = [*ids[0][:38], *ids[1][38:]]  # nearly the first text
    table = pl.DataFrame({"input_ids": [*ids, near], "loss_mask": [[1] * 40] * 4})
    monkeypatch.setattr(sequence_means, "DIMENSIONS", 12)
    vectors = np.zeros((4, 12), dtype=np.float32)
    for places, made in means_by_batch(model, table, batch_tokens=80):
        vectors[places] = made
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert int((vectors[:3] @ vectors[3]).argmax()) == 0
