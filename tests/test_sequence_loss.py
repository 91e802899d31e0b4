"""Given sequences -> the sum of their losses, bit for bit the same whatever else is in the batch."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from stages.modelling import sequence_batches
from stages.modelling.models import load_model, repeatable
from stages.modelling.sequence_loss import loss_sums
from tiny_model import make_config, save_model
from workbench import say_nothing

LONGEST = 75  # no width of a batch, so that the longest sequence cannot be filled up


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    folder = save_model(make_config(300, max_position_embeddings=LONGEST), tmp_path_factory.mktemp("model"))
    return load_model(folder)


def sequences(*lengths: int) -> pl.DataFrame:
    random = np.random.default_rng(0)
    rows = [random.integers(0, 300, size=LONGEST).tolist() for _ in lengths]
    return pl.DataFrame({
        "input_ids": [row[:n] for row, n in zip(rows, lengths, strict=True)],
        "loss_mask": [[0] + [1] * (n - 1) for n in lengths],
    })  # fmt: skip


ALL = sequences(2, 3, 9, 10, 17, 18, 31, 40, 41, 64, 70, LONGEST)


@settings(max_examples=20, deadline=None)
@given(chosen=st.permutations(range(ALL.height)), count=st.integers(1, ALL.height), batch_tokens=st.integers(1, 400))
def test_neighbours_order_and_size_of_the_batch_change_no_bit(
    model: PreTrainedModel, chosen: list[int], count: int, batch_tokens: int
) -> None:
    with repeatable(1):
        expected = loss_sums(model, ALL, batch_tokens=10_000, progress=say_nothing)
        some = chosen[:count]
        assert loss_sums(model, ALL[some], batch_tokens=batch_tokens, progress=say_nothing).tolist() == (
            expected[some].tolist()
        )


def test_rows_that_only_fill_a_batch_up_for_a_gpu_change_no_bit(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def filled_up(*given: object, equal_rows: bool) -> object:
        return batches(*given, equal_rows=True)  # type: ignore[arg-type]

    batches = sequence_batches._batches
    with repeatable(1):
        expected = loss_sums(model, ALL, batch_tokens=200, progress=say_nothing)
        monkeypatch.setattr(sequence_batches, "_batches", filled_up)
        assert loss_sums(model, ALL, batch_tokens=200, progress=say_nothing).tolist() == expected.tolist()
