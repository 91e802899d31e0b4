"""A model that is an adapter beside its base, or was one: what its version and its card say, and that the card is right."""

import re
from pathlib import Path
from typing import Any

import mlflow
import polars as pl
import pytest
import torch

from rows import sealed
from stages.modelling.models import load_model, quiet_peft
from stages.register import job
from stages.register.stage import RegisterParams
from stages.schema import check_table, load_schema
from stages.tracking import open_client
from tiny_merge import merge
from tiny_methods import SMALL
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import random_examples, train
from workbench import lend

pytest_plugins = ["mlflow_database"]

IDS = torch.arange(10, 30)[None]
DIGESTS = {"model": "a" * 64, "evaluation": "b" * 64, "examples": "c" * 64, "adapter": "d" * 64}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"), make_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def registered(folder: Path, base: Path, method: str, database: str) -> tuple[dict[str, Any], Path, Path]:
    """The row of the version, its files as downloaded, and the model that was registered."""
    trained = train(folder / "run", base, random_examples(10), method=method, max_steps=3, **SMALL.get(method, {}))
    model = merge(folder / "merge", base, trained.adapter)
    measured = [{"metric": "held_out_loss", "model": "tuned", "slice": "all", "value": 1.0, "n": 20}]
    evaluation = sealed(folder / "evaluation", "evaluation", measured)
    output = folder / "output"
    output.mkdir()
    job.run(
        model, evaluation, folder / "run" / "examples", adapter=trained.adapter, model_version=output,
        params=RegisterParams(), workbench=lend(folder / "scratch", tracking_uri=database, input_digests=DIGESTS),
    )  # fmt: skip
    written = pl.read_parquet(output / "*.parquet")
    check_table(written, load_schema("model_version"), "model_version")
    files = mlflow.artifacts.download_artifacts("models:/temper/1", dst_path=str(folder / "downloaded"))
    return written.row(0, named=True), Path(files), model


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prompt", "prefix", "p_tuning", "bottleneck"])
def test_an_adapter_beside_its_base_is_registered_as_one_and_loads_as_its_card_says(
    tmp_path: Path, base: Path, database: str, method: str
) -> None:
    row, files, model = registered(tmp_path, base, method, database)
    assert (row["served_as"], row["base_digest"]) == ("adapter", "b" * 64)
    tags = open_client(database).get_model_version("temper", "1").tags
    assert (tags["temper.served_as"], tags["temper.base_digest"]) == ("adapter", "b" * 64)
    card = (files / "README.md").read_text()
    assert "cannot be merged and is served beside its base" in card
    assert f"| base | {'b' * 64} |" in card
    assert "plain model folder: `from_pretrained`" not in card
    [code] = re.findall("```python\n(.*?)```", card, re.DOTALL)
    loaded: dict[str, Any] = {"folder": str(files)}
    with quiet_peft(), torch.no_grad():
        exec(code, loaded)
        found = (
            loaded["model"].eval()(input_ids=IDS).logits[:, -IDS.shape[1] :]
        )  # some give those of virtual tokens too
        torch.testing.assert_close(found, load_model(model)(input_ids=IDS).logits, rtol=1e-4, atol=1e-4)
    assert loaded["tokenizer"].encode("a")


@pytest.mark.slow
def test_a_merged_model_is_registered_with_what_was_measured_of_its_merge(
    tmp_path: Path, base: Path, database: str
) -> None:
    row, files, _ = registered(tmp_path, base, "lora", database)
    assert (row["served_as"], row["base_digest"]) == ("merged", "b" * 64)
    card = (files / "README.md").read_text()
    assert "through an adapter of kind LORA that is merged into it" in card
    assert "| top1_agreement | 1 |" in card
    assert "plain model folder: `from_pretrained`" in card
