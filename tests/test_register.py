"""Given a model and its evidence -> what the registry holds, however often and however badly interrupted it was made."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import polars as pl
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from safetensors.torch import save_file

from rows import row_id, sealed
from stages.errors import ConfigError, DataError
from stages.register import job
from stages.register.safe_files import refuse_unsafe_files
from stages.register.stage import RegisterParams
from stages.schema import check_table, load_schema
from stages.tracking import open_client
from workbench import lend

pytest_plugins = ["mlflow_database"]

DIGESTS = {"model": "a" * 64, "evaluation": "b" * 64, "examples": "c" * 64}


def metric(name: str, model: str, value: float, slice_name: str = "all") -> dict[str, Any]:
    return {"metric": name, "model": model, "slice": slice_name, "value": value, "n": 20}


EVALUATION = [
    metric("held_out_loss", "base", 3.5),
    metric("held_out_loss", "tuned", 1.25),
    metric("held_out_loss", "tuned", 1.5, "dolly"),
    metric("stop_rate", "tuned", 1.0),
]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """A model folder, its evaluation and the examples it was trained on."""
    model = tmp_path / "inputs" / "model"
    model.mkdir(parents=True)
    save_file({"weight": torch.zeros(2, 3)}, model / "model.safetensors")
    (model / "config.json").write_text("{}")
    example = {"source": "dolly", "split": "train", "input_ids": [1, 2, 3], "loss_mask": [0, 1, 1]}
    examples = [example | {"row_id": row_id(name)} for name in "abc"]
    return {
        "model": model,
        "evaluation": sealed(tmp_path / "inputs" / "evaluation", "evaluation", EVALUATION),
        "examples": sealed(tmp_path / "inputs" / "examples", "examples", examples),
    }


def register(tmp_path: Path, inputs: dict[str, Path], database: str, key: str = "k1", **params: Any) -> dict[str, Any]:
    """Runs the job as the runner would; returns the row it wrote, and its facts."""
    output = tmp_path / f"output-{len(list(tmp_path.glob('output-*')))}"
    output.mkdir()
    bench = lend(tmp_path / "scratch", key=key, tracking_uri=database, input_digests=DIGESTS)
    facts = job.run(**inputs, model_version=output, params=RegisterParams(**params), workbench=bench)
    written = pl.read_parquet(output / "*.parquet")
    check_table(written, load_schema("model_version"), "model_version")
    [row] = written.rows(named=True)
    return row | {"facts": facts}


@pytest.fixture
def client(database: str) -> MlflowClient:
    return open_client(database)


@pytest.mark.slow
def test_a_version_is_a_plain_model_folder_with_lineage_and_metrics(
    tmp_path: Path, inputs: dict[str, Path], database: str, client: MlflowClient
) -> None:
    row = register(tmp_path, inputs, database)

    assert row == {
        "name": "temper",
        "version": 1,
        "uri": "models:/temper/1",
        "model_digest": "a" * 64,
        "examples_digest": "c" * 64,
        "served_as": "whole",
        "base_digest": None,
        "facts": {"version": 1, "registered_now": True, "told": ["temper version 1"]},
    }
    version = client.get_model_version("temper", "1")
    assert version.tags == {
        "temper.key": "k1",
        "temper.model_digest": "a" * 64,
        "temper.evaluation_digest": "b" * 64,
        "temper.examples_digest": "c" * 64,
        "temper.served_as": "whole",
    }
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.status == LoggedModelStatus.READY
    assert {m.key: m.value for m in model.metrics} == {
        "base/held_out_loss": 3.5,
        "tuned/held_out_loss": 1.25,
        "tuned/held_out_loss/dolly": 1.5,
        "tuned/stop_rate": 1.0,
    }
    folder = Path(mlflow.artifacts.download_artifacts(row["uri"], dst_path=str(tmp_path / "downloaded")))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "evaluation",
        "model.safetensors",
    ]
    assert (folder / "model.safetensors").read_bytes() == (inputs["model"] / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_the_card_says_what_was_trained_on_what_was_measured_and_what_cannot_be_claimed(
    tmp_path: Path, inputs: dict[str, Path], database: str
) -> None:
    verdict = {"eval_file": "quiz.jsonl", "sha256": "e" * 64, "items": 40, "too_common": 0, "false_positive_rate": 0.01}
    verdict |= {"eval_exact": 16, "eval_ngram": 2, "eval_rephrased": 3}
    sealed(tmp_path / "inputs" / "decontamination", "decontamination", [verdict])
    register(tmp_path, inputs | {"decontamination": tmp_path / "inputs" / "decontamination"}, database)

    card = (tmp_path / "scratch" / "card" / "README.md").read_text()
    assert "| dolly | 3 | 9 | 6 |" in card
    assert f"| quiz.jsonl | 40 | 16 | 2 | 3 | 1.0% | {'e' * 64} |" in card
    assert "| held_out_loss | all | tuned | 1.250 | - | 20 |" in card
    assert "no negative signal" in card
    assert "c" * 64 in card


@pytest.mark.slow
def test_answers_go_with_the_model_without_their_private_data(
    tmp_path: Path, inputs: dict[str, Path], database: str
) -> None:
    answer = {
        "row_id": row_id("a"),
        "prompt": "Who is a@b.example?",
        "reference": "Jane, a@b.example",
        "base_stopped": True,
    }
    answer |= {
        "base_answer": "+44 20 7946 0958",
        "tuned_answer": "My card is 4111 1111 1111 1111",
        "tuned_stopped": False,
    }
    folder = sealed(tmp_path / "inputs" / "generations", "generations", [answer])
    row = register(tmp_path, inputs | {"generations": folder}, database)
    logged = mlflow.artifacts.download_artifacts(f"{row['uri']}/generations", dst_path=str(tmp_path / "downloaded"))
    [shown] = pl.read_parquet(Path(logged) / "*.parquet").to_dicts()
    masked = {
        "prompt": "Who is [EMAIL]?",
        "reference": "Jane, [EMAIL]",
        "base_answer": "[PHONE]",
        "tuned_answer": "My card is [CARD]",
    }
    assert shown == answer | masked


@pytest.mark.slow
def test_the_same_execution_registers_once_and_another_one_makes_a_new_version(
    tmp_path: Path, inputs: dict[str, Path], database: str, client: MlflowClient
) -> None:
    first, again, other = (register(tmp_path, inputs, database, key) for key in ("k1", "k1", "k2"))

    told = ["temper version 1, registered by an earlier attempt"]
    assert again == first | {"facts": {"version": 1, "registered_now": False, "told": told}}
    assert other["version"] == 2
    assert len(client.search_model_versions("name = 'temper'")) == 2


# What stands before one step is what stood after the one before it, but for files, which are logged folder by folder.
POINTS = (
    "before_create_run",
    "before_create_logged_model",
    "before_log_model_artifacts",
    "after_log_model_artifacts",
    "before_finalize_logged_model",
    "before_log_batch",
    "before_create_registered_model",
    "before_create_model_version",
    "before_set_logged_model_tags",
    "before_set_terminated",
    "after_set_terminated",
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the job may catch it."""


@pytest.fixture(params=POINTS)
def killed_attempt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The next call of one of MLflow's methods is the last thing the attempt does, or is not even done."""
    when, step = request.param.split("_", 1)
    real = getattr(MlflowClient, step)

    def die(*args: Any, **kwargs: Any) -> None:
        if when == "after":
            real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, step, die)
        yield patched


@pytest.mark.slow
def test_a_killed_attempt_is_finished_by_the_next_one(
    tmp_path: Path,
    inputs: dict[str, Path],
    database: str,
    client: MlflowClient,
    killed_attempt: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Killed):
        register(tmp_path, inputs, database)
    killed_attempt.undo()

    row = register(tmp_path, inputs, database)

    assert row["uri"] == "models:/temper/1"
    assert len(client.search_model_versions("name = 'temper'")) == 1
    experiment = client.get_experiment_by_name("temper").experiment_id
    [run] = client.search_runs([experiment])
    [model] = client.search_logged_models([experiment])
    assert run.info.status == "FINISHED"
    assert model.status == LoggedModelStatus.READY
    assert sorted(m.key for m in model.metrics) == sorted(set(m.key for m in model.metrics))
    assert '"name": "temper"' in model.tags["mlflow.modelVersions"]
    folder = Path(mlflow.artifacts.download_artifacts(row["uri"], dst_path=str(tmp_path / "downloaded")))
    assert (folder / "model.safetensors").read_bytes() == (inputs["model"] / "model.safetensors").read_bytes()


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


def write_torch(path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, path)


def write_code(path: Path) -> None:
    path.write_text("print('hello')")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("weights.bin", write_code),
        ("weights.pkl", write_code),
        ("weights.joblib", write_code),
        ("weights.ckpt", write_code),
        ("modeling_own.py", write_code),
        ("innocent.json", write_pickle),
        ("innocent.safetensors", write_torch),
        ("below/weights.PT", write_code),
    ],
)
def test_a_file_that_can_run_code_is_refused_whatever_its_name(tmp_path: Path, name: str, write: Any) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write(tmp_path / name)

    with pytest.raises(DataError, match=Path(name).name):
        refuse_unsafe_files([tmp_path])


def test_parquet_json_text_and_safetensors_are_not_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "part-00000.parquet")
    (tmp_path / "config.json").write_text("{}")

    refuse_unsafe_files([tmp_path])


def test_without_an_mlflow_address_nothing_is_registered(tmp_path: Path, inputs: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="no MLflow address"):
        register(tmp_path, inputs, "")
