"""A run's folder: what its plan may be, and that its notes tell of one execution only."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from curated_run import finished_run, record
from rows import sealed
from stages.__main__ import main
from stages.errors import ConfigError, DataError, UsageError
from stages.execution.runs import Run, finished, load_run, note_finished, publish, stage_inputs, start_run
from stages.pipeline import CURATE, STAGES, TUNE
from stages.store.identity import content_digest
from stages.store.storage import LocalStore

PLAN = {"pipeline": "curate", "profile": "default", "params": {}, "sources": {}}
ASKING = (["ledger", "broken"], ["explain", "ingest", "--in-run", "broken"], ["whatif", "filter", "--in-run", "broken"],
          ["diff", "broken", "broken"])  # fmt: skip


def started(tmp_path: Path, **settings: Any) -> Run:
    source = tmp_path / "raw.jsonl"
    source.write_text('{"instruction": "Why?", "output": "Because."}')
    overrides = {"tokenize": {"tokenizer": "gpt2"}, **settings}
    store = LocalStore(tmp_path / "store")
    folder = store.run_folder("nightly")
    return start_run(CURATE, store, overrides=overrides, sources={"raw": [str(source)]}, folder=folder)


def note_all(run: Run) -> None:
    for stage in run.pipeline.stages:
        made = {"outputs": {name: {"digest": f"{name} 1"} for name in stage.outputs}}
        note_finished(run, stage, run.store.root / "results" / stage.name / "1", made, hit=False)


def noted(run: Run) -> list[str]:
    return [stage.name for stage in run.pipeline.stages if finished(run, stage)]


@pytest.mark.parametrize(("plan", "said"), [
    ({}, "run.json is no plan of a run: pipeline: Field required"),
    ([], "run.json is no plan of a run: the file:"),
    (PLAN | {"pipeline": "nope"}, "there is no pipeline 'nope' (pipelines: curate, tune"),
    (PLAN | {"params": []}, "run.json is no plan of a run: params:"),
    (PLAN | {"params": {"dedup": 3}}, "run.json is no plan of a run: params.dedup:"),
    (PLAN | {"sources": {"raw": 3}}, "run.json is no plan of a run: sources.raw:"),
])  # fmt: skip
@pytest.mark.parametrize("command", ASKING, ids=lambda command: command[0])
def test_a_damaged_plan_is_told_by_every_command_that_meets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], plan: Any, said: str
) -> None:
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "run.json").write_text(json.dumps(plan))
    assert main([*command, "--store", str(tmp_path)]) == DataError.exit_code
    told = capsys.readouterr().err
    assert said in told
    assert "start a new run under another name" in told


def test_a_plan_of_other_code_names_what_this_code_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(PLAN | {"params": {"nope": {}}}))
    with pytest.raises(ConfigError, match="planned by other code: there is no stage 'nope'; start a new run"):
        load_run(tmp_path)


def test_a_damaged_run_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "run.json").write_text("{}")
    finished_run(tmp_path, "good", {"conversations": [record(1)]})
    assert main(["diff", "abcdef1", "good", "--store", str(tmp_path)]) == UsageError.exit_code
    assert "no run 'abcdef1'" in capsys.readouterr().err
    assert main(["diff", "good", "good", "--store", str(tmp_path)]) == 0


def test_a_tune_starts_though_the_folder_of_the_curation_was_tidied_away(tmp_path: Path) -> None:
    store, made = LocalStore(tmp_path / "store"), tmp_path / "made"
    made.mkdir(parents=True)
    facts = {"run": "gone", "datasets": {name: str(made) for name in TUNE.sources}}
    store.move_ref("dataset", expected=None, version="1", facts=facts)
    sources = {"base": [str(made)], "plain_text": [str(made)]}
    with pytest.raises(ConfigError, match=f"source base: {made} holds no config.json, so it is no model; give"):
        start_run(TUNE, store, sources=sources)
    (made / "config.json").write_text("{}")
    assert start_run(TUNE, store, sources=sources).pipeline == TUNE


def test_a_run_without_an_example_is_never_published(tmp_path: Path) -> None:
    run = started(tmp_path)
    note_all(run)
    sealed(run.store.root / "results" / "tokenize" / "1" / "examples", "examples", [])
    with pytest.raises(DataError, match="run nightly left no example, so what is published stays as it is"):
        publish(run)
    assert run.store.read_ref("dataset") is None


def test_a_run_that_lacks_a_setting_is_refused_before_its_first_stage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenize\.tokenizer is not given \(--set tokenize\.tokenizer=<value>"):
        started(tmp_path, tokenize={})
    assert not (tmp_path / "store" / "runs").exists()


@pytest.mark.parametrize(("settings", "told"), [
    ({"filter": {"max_ifd": 1.0}}, "filter.max_ifd goes by ifd, which is not measured; set rate.perplexity too"),
    ({"filter": {"by_task": {"code": {"min_judge_score": 3}}}}, "filter.min_judge_score goes by judge_score"),
    ({"mix": {"select_rows": 5, "quality": "-perplexity"}}, "mix.quality goes by perplexity, which"),
    ({"mix": {"select_rows": 5, "alike_by": "embedding"}}, "set rate.embed too"),
])  # fmt: skip
def test_what_nobody_measures_is_refused_before_the_first_stage(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        started(tmp_path, **settings)


def test_what_another_stage_is_told_to_measure_may_be_gone_by(tmp_path: Path) -> None:
    judge = {"judge_model": "m", "judge_endpoint": "http://judge:8000/v1"}
    run = started(tmp_path, rate=judge, filter={"min_judge_score": 3})
    assert run.params["filter"].model_dump()["min_judge_score"] == 3


@pytest.mark.parametrize("path", ["/nope/tokenizer", "./nope", "~/nope/tokenizer"])
def test_a_path_in_a_setting_that_is_not_there_is_refused_before_the_first_stage(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=rf"tokenize\.tokenizer: {path} does not exist; correct the path"):
        started(tmp_path, tokenize={"tokenizer": path})
    with pytest.raises(ConfigError, match=rf"tokenize\.tokenizer: folder {tmp_path} holds no tokenizer; it needs"):
        started(tmp_path, tokenize={"tokenizer": str(tmp_path)})
    (tmp_path / "tokenizer.json").write_text("{}")
    there = started(tmp_path, tokenize={"tokenizer": str(tmp_path)})
    assert there.params["tokenize"].model_dump()["tokenizer"] == str(tmp_path)


def test_a_row_is_traced_with_the_runs_in_which_each_verdict_fell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row, reason = record(1), {"reason": "too_long", "value": 9.0, "threshold": 5.0}
    finished_run(tmp_path, "first", {"conversations": [row], "kept": [row]})
    finished_run(tmp_path, "second", {"conversations": [row], "rejected": [row | reason]})
    assert main(["trace", row["row_id"], "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[2:5] == [
        "  ingest        conversations  in first, second",
        "  filter        kept  in first",
        "  filter        rejected  reason too_long  value 9.0  threshold 5.0  in second",
    ]


def test_notes_of_another_plan_go_when_a_run_takes_its_name(tmp_path: Path) -> None:
    note_all(started(tmp_path))
    assert noted(started(tmp_path)) == [stage.name for stage in CURATE.stages]
    assert noted(started(tmp_path, dedup={"min_similarity": 0.9})) == []


def test_a_stage_that_made_something_else_takes_back_the_notes_of_those_that_rest_on_it(tmp_path: Path) -> None:
    run = started(tmp_path)
    note_all(run)
    same = {"outputs": {name: {"digest": f"{name} 1"} for name in ("kept", "rejected")}}
    note_finished(run, STAGES["filter"], run.store.root / "results" / "filter" / "2", same, hit=False)
    assert noted(run) == [stage.name for stage in CURATE.stages]
    other = {"outputs": {"kept": {"digest": "kept 2"}, "rejected": {"digest": "rejected 1"}}}
    note_finished(run, STAGES["filter"], run.store.root / "results" / "filter" / "2", other, hit=False)
    assert noted(run) == ["ingest", "dedup", "score", "rate", "filter"]


def test_a_stage_without_its_input_names_the_stage_to_run_first(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="stage score needs unique, which no finished stage made yet; run ingest first"
    ):
        stage_inputs(started(tmp_path), STAGES["score"])


def test_a_stage_of_another_pipeline_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="and its pipeline curate has no base, model; give a run of tune or all or trial"
    ):
        stage_inputs(started(tmp_path), STAGES["evaluate"])


def test_a_run_says_which_stage_does_without_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "raw.jsonl"
    source.write_text('{"instruction": "Why?", "output": "Because."}')
    given = [
        "--store",
        str(tmp_path / "store"),
        "--set",
        "tokenize.tokenizer=gpt2",
        "--source",
        f"raw={source}",
        "--dry-run",
    ]
    plan = tmp_path / "store" / "runs" / "bare" / "run.json"
    assert main(["start", "curate", *given[:-1], "--set", "dedup.seed=1", "--run-name", "bare"]) == 0
    planned, _ = plan.read_text(), capsys.readouterr()
    assert main(["pipeline", "curate", *given, "--run-name", "bare"]) == 0
    assert plan.read_text() == planned, "what would run is asked; the run of that name stays as it is"
    assert os.listdir(plan.parent.parent) == ["bare"]
    told = "decontaminate works without evals (--source evals=<path>)"
    assert capsys.readouterr().out.splitlines()[0] == f"run bare: pipeline curate, profile default; {told}"
    assert main(["pipeline", "curate", *given, "--source", f"evals={source}", "--run-name", "full"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "run full: pipeline curate, profile default"


def test_what_lies_in_the_home_folder_is_told_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    digests = []
    for text in ("{{ one }}", "{{ two }}"):
        (tmp_path / "mine.jinja").write_text(text)
        digests.append(content_digest("~/mine.jinja"))
    assert len({*digests, "~/mine.jinja"}) == 3
