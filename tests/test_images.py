"""What building and comparing images needs to know, without an engine."""

import json
import re
import resource
import tomllib
from pathlib import Path

import pytest

from infra.container_compare import Compared, example_inputs, table
from infra.container_engine import ROOT, podman_settings
from infra.images import main
from stages.pipeline import STAGES


def test_the_bake_file_and_the_dockerfile_list_the_images_that_the_stages_name() -> None:
    listed = re.findall(r'^target "(\w+)"', (ROOT / "containers" / "docker-bake.hcl").read_text(), re.MULTILINE)
    targets = re.findall(r"^FROM (\w+)-packages AS \1$", (ROOT / "containers" / "Dockerfile").read_text(), re.MULTILINE)
    assert {*listed} - {"common"} == {*targets} == {stage.image for stage in STAGES.values()}


def test_podman_is_never_told_to_ask_for_more_than_this_machine_allows() -> None:
    limits = dict(limit.split("=") for limit in tomllib.loads(podman_settings())["containers"]["default_ulimits"])
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        soft, hard = map(int, limits[name].split(":"))
        allowed = resource.getrlimit(kind)[1]
        assert soft == hard > 0
        assert allowed == resource.RLIM_INFINITY or hard <= allowed


def test_without_an_engine_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.container_engine.find_engine", lambda: None)
    monkeypatch.setattr("infra.container_engine.can_install", lambda: False)
    assert main(["build", "dedup"]) == 69
    assert "there is no container engine here; start Docker, or as root: apt-get install" in capsys.readouterr().err


def test_a_stage_is_given_all_examples_of_each_dataset_that_it_must_have(tmp_path: Path) -> None:
    option, value = example_inputs(STAGES["dedup"], tmp_path)
    assert option == "--input"
    dataset, path = value.split("=")
    given = [json.loads(row)["row_id"] for row in Path(path).read_text().splitlines()]
    written = [
        row
        for file in (ROOT / "schemas" / "examples" / "conversations").glob("pass_*.jsonl")
        for row in file.read_text().splitlines()
    ]
    assert dataset == "conversations"
    assert sorted(given) == sorted(json.loads(row)["row_id"] for row in written)


def test_the_table_says_what_differs() -> None:
    assert table(
        [Compared("unique", "a" * 64, "a" * 64), Compared("duplicates", "b" * 64, "(not made)")]
    ).splitlines() == [
        "               process        container      same",
        "unique         aaaaaaaaaaaa   aaaaaaaaaaaa   yes",
        "duplicates     bbbbbbbbbbbb   (not made)     NO",
    ]
