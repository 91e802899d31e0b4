import inspect
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import ValidationError

from stages.contract import Params, Pipeline, Stage, setting
from stages.pipeline import ALL, CURATE, PIPELINES, STAGES, TUNE
from stages.processes.engine import table_outputs
from stages.schema import load_schema, schema_names

FOLDER = Path(__file__).resolve().parent.parent / "stages"
ONE_OF_EACH = sorted(STAGES)


class NoParams(Params):
    size: int = setting(1, "a size", ge=1)


def stage(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **facts: object) -> Stage:
    return Stage(
        name=name, purpose="x", kind="table", inputs=inputs, outputs=outputs, params=NoParams, image="data", **facts
    )


def pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(name="p", purpose="x", sources=("raw",), stages=stages)


@pytest.mark.parametrize(("stages", "said"), [
    ([stage("a", ("missing",), ("x",))], "stage a reads .'missing'., which no earlier stage makes"),
    ([stage("b", ("x",), ("y",)), stage("a", ("raw",), ("x",))], "stage b reads .'x'., which no earlier stage makes"),
    ([stage("a", ("raw",), ("x",)), stage("b", ("raw",), ("x",))], "stage b makes .'x'., which is already made"),
    ([stage("a", ("a_out",), ("a_out",))], "stage a reads .'a_out'."),
    ([stage("a", ("raw",), ("x",)), stage("a", ("x",), ("y",))], "names .'a'. twice"),
])  # fmt: skip
def test_a_pipeline_that_cannot_run_is_refused_when_it_is_declared(stages: list[Stage], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        pipeline(*stages)


def test_an_alternative_may_be_made_again_by_a_later_stage() -> None:
    train = stage("train", ("raw",), ("adapter", "model"), either=("adapter", "model"))
    merge = stage("merge", ("adapter",), ("model",))
    assert [s.name for s in pipeline(train, merge).upstream(merge)] == ["train"]


def test_a_stage_cannot_set_aside_into_something_it_does_not_make() -> None:
    with pytest.raises(ValidationError, match=r"names .'rejected'., which are not among its outputs"):
        stage("a", ("raw",), ("x",), keeps="x", sets_aside="rejected")


def test_a_declaration_cannot_change_and_a_misspelt_field_is_an_error() -> None:
    with pytest.raises(ValidationError):
        NoParams(sise=2)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        NoParams().size = 3  # type: ignore[misc]


def test_every_folder_in_stages_is_a_declared_stage_and_the_reverse() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/stage.py")}
    assert folders == set(STAGES)
    assert all(STAGES[name].name == name for name in folders)


def test_the_pipelines_are_the_fourteen_stages_in_order_whatever_is_put_between_them() -> None:
    fourteen = ["ingest", "dedup", "score", "rate", "filter", "decontaminate", "mix", "tokenize",
                "train", "merge", "evaluate", "register", "promote", "report"]  # fmt: skip
    assert [s.name for s in ALL.stages if s.name in fourteen] == fourteen
    assert ALL.stages == CURATE.stages + TUNE.stages
    assert set(PIPELINES) == {"curate", "tune", "all", "trial"}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_dataset_of_a_stage_has_a_schema(name: str) -> None:
    one = STAGES[name]
    assert {*one.inputs, *one.optional_inputs, *one.outputs} <= set(schema_names())


@pytest.mark.parametrize("name", [n for n in ONE_OF_EACH if STAGES[n].kind != "job"])
def test_a_transform_takes_the_declared_inputs_and_returns_the_declared_tables(name: str) -> None:
    transform = import_module(f"stages.{name}.transform").transform
    arguments = [p for p in inspect.signature(transform).parameters if p != "params"]
    lent = ["prepared"] * STAGES[name].prepares + ["progress"] * (STAGES[name].kind == "table")
    assert arguments == [*STAGES[name].inputs, *STAGES[name].optional_inputs, *lent]
    made = get_type_hints(transform)["return"]
    assert tuple(field for field in made._fields if field != "told") == table_outputs(STAGES[name])
    assert made.__annotations__.get("told", list[str]) == list[str]
    assert "told" not in made._fields or STAGES[name].kind == "table", "the runner asks only these for lines for people"


@pytest.mark.parametrize("name", [n for n in ONE_OF_EACH if STAGES[n].kind == "job"])
def test_a_job_takes_the_declared_inputs_and_outputs(name: str) -> None:
    one = STAGES[name]
    run = inspect.signature(import_module(f"stages.{name}.job").run)
    expected = [*one.inputs, *one.optional_inputs, *one.outputs, "params", "workbench"]
    assert sorted(run.parameters) == sorted(expected)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_parameter_says_what_it_does(name: str) -> None:
    silent = [field for field, facts in STAGES[name].params.model_fields.items() if len(facts.description or "") < 10]
    assert silent == []


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_what_a_deciding_stage_sets_aside_carries_a_reason(name: str) -> None:
    if STAGES[name].sets_aside:
        assert "reason" in load_schema(str(STAGES[name].sets_aside)).dtypes


def test_who_writes_a_transform_that_names_no_table_is_told_what_belongs_there() -> None:
    with pytest.raises(
        TypeError, match=r"stages/a/transform\.py gives a list; let it give a NamedTuple .* output: x, y"
    ):
        stage("a", ("raw",), ("x", "y")).named([1])


@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
def test_a_number_without_end_is_no_setting(number: str) -> None:
    from stages.train.stage import TrainParams

    for name in ("learning_rate", "lora_alpha", "weight_decay", "max_grad_norm"):
        with pytest.raises(ValidationError, match=r"finite number|greater than"):
            TrainParams.model_validate({name: float(number)})
