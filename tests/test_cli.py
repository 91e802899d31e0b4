"""The command line as a user meets it: exit codes, messages, and that a refusal leaves nothing behind."""

import json
import re
from pathlib import Path

import pytest

from conftest import run_stages
from line import FinishedLine
from rows import conversation, write_jsonl
from stages.__main__ import main
from stages.pipeline import STAGES

Capture = pytest.CaptureFixture[str]


def exit_code(*arguments: str | Path) -> int | str | None:
    """Of a command run in this process; a fault that is not told in words comes through as itself."""
    try:
        return main(list(map(str, arguments)))
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["run", "dedup"], 64, "give --output <folder>"),
    (["run", "dedupe"], 64, "invalid choice: 'dedupe'"),
    (["frobnicate"], 64, "invalid choice: 'frobnicate'"),
    (["run", "dedup", "--output", "OUT"], 64, "stage dedup lacks --input conversations=<path>"),
    (["run", "dedup", "--output", "OUT", "--input", "conversations"], 64, "'conversations' is not of the form DATASET=PATH"),
    (["run", "dedup", "--output", "OUT", "--input", "conversations=gone.jsonl"], 64, "conversations: gone.jsonl does not exist"),
    (["run", "dedup", "--output", "OUT", "--set", "min_similarty=0.9", "--set", "shingle_words=0"], 78, "min_similarty is no parameter"),
    (["run", "dedup", "--output", "OUT", "--profile", "gone"], 78, "no profile 'gone'"),
    (["pipeline", "curate", "--store", "OUT", "--profile", "default"], 78, "source raw is not given"),
    (["pipeline", "curate", "--store", "OUT", "--source", "raw=gone"], 78, "source raw: gone does not exist"),
    (["pipeline", "tune", "--store", "OUT"], 78, "nothing is published in"),
    (["start", "curate", "--store", "OUT", "--set", "min_similarity=1"], 64, "say which stage's parameter"),
    (["ledger", "--store", "OUT"], 64, "no run 'latest'"),
    (["trace", "0a", "--store", "OUT"], 64, "holds row '0a'"),
    (["describe", "nothing"], 64, "no schema describes a dataset 'nothing'"),
])  # fmt: skip
def test_a_wrong_command_says_what_is_wrong_and_leaves_nothing(
    tmp_path: Path, capsys: Capture, arguments: list[str], code: int, said: str
) -> None:
    out = tmp_path / "out"
    left = exit_code(*[argument.replace("OUT", str(out)) for argument in arguments])
    told = capsys.readouterr().err
    assert (left, said in told) == (code, True), told
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_ledger_of_a_run_that_only_started_says_how_to_go_on(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "raw.jsonl").write_text('{"instruction": "Why?", "output": "Because."}')
    source = f"raw={tmp_path / 'raw.jsonl'}"
    store = tmp_path / "store"
    exit_code("start", "curate", "--store", store, "--source", source, "--set", "tokenize.tokenizer=gpt2")
    folder = capsys.readouterr().out.strip().splitlines()[-1]
    exit_code("ledger", "--store", store)
    assert f"no stage is done yet; next: python -m stages run ingest --run {folder}" in capsys.readouterr().out


def test_both_faults_of_a_parameter_list_are_told_at_once(tmp_path: Path, capsys: Capture) -> None:
    exit_code("run", "dedup", "--output", tmp_path / "out", "--set", "min_similarity=7", "--set", "sed=3")
    told = capsys.readouterr().err
    assert "dedup.min_similarity = 7" in told
    assert "dedup.sed is no parameter" in told


@pytest.mark.parametrize("content", ["", "\n\n", "[]"])
def test_an_empty_source_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "raw.json").write_text(content)
    assert exit_code("run", "ingest", "--input", f"raw={tmp_path / 'raw.json'}", "--output", tmp_path / "out") == 65
    assert not (tmp_path / "out").exists()


def test_a_source_of_which_nothing_can_be_used_is_refused_with_the_reasons(tmp_path: Path) -> None:
    source = tmp_path / "my own data, 2026"
    source.mkdir()
    write_jsonl(source / "bad.jsonl", [{"instruction": "Say something", "input": "", "output": ""}] * 3)
    done = run_stages("run", "ingest", "--input", f"raw={source}", "--output", tmp_path / "out")
    assert done.returncode == 65
    assert "empty_answer" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_with_spaces_and_quotes_in_its_name_is_a_source_like_any_other(tmp_path: Path) -> None:
    source = tmp_path / 'it\'s "my" data = ünïcode'
    source.mkdir()
    write_jsonl(source / "rows.jsonl", [{"instruction": "Say hello", "input": "", "output": "Hello."}])
    done = run_stages("run", "ingest", "--input", f"raw={source}", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "conversations 1 rows" in done.stdout


@pytest.mark.parametrize("base", ["gone", "empty", "file"])
def test_a_wrong_base_model_path_is_refused_in_words(tmp_path: Path, capsys: Capture, base: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no model")
    example = {"row_id": "0a", "input_ids": [1, 2, 3], "loss_mask": [0, 1, 1]}
    examples = write_jsonl(tmp_path / "examples.jsonl", [example])
    inputs = ["--input", f"base={tmp_path / base}", "--input", f"examples={examples}"]
    assert exit_code("run", "train", *inputs, "--output", tmp_path / "out") in (64, 78)
    assert str(tmp_path / base) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_progress_can_be_read_by_a_machine(tmp_path: Path, capsys: Capture) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", [conversation(str(i), f"q {i}", f"a {i}") for i in range(50)])
    files = ["--input", f"unique={rows}", "--output", tmp_path / "out"]
    exit_code("run", "score", *files, "--progress", "json", "--batch-rows", "10", "--workers", "1")
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["stage"], last["done"], last["total"], last["unit"]) == ("score", 50, 50, "rows")


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_help_lists_every_parameter_with_its_default(stage: str, capsys: Capture) -> None:
    assert exit_code("run", stage, "--help") == 0
    told = capsys.readouterr().out
    for name in STAGES[stage].params.model_fields:
        assert re.search(rf"^  {name} .*default ", told, flags=re.MULTILINE), name


@pytest.mark.slow
def test_the_ledger_of_a_run_balances_at_every_stage(line: FinishedLine) -> None:
    told = line.stages("ledger").stdout
    deciding = [name for name, stage in STAGES.items() if stage.sets_aside]
    assert all(re.search(rf"^{name} .* balances", told, flags=re.MULTILINE) for name in deciding), told
    assert "DOES NOT BALANCE" not in told
    for reason in ("invalid_json 1", "empty_answer 1", "exact_duplicate 1", "near_duplicate 1", "refusal 1"):
        assert reason in told


@pytest.mark.slow
def test_a_row_is_traced_from_its_file_to_the_model_and_back(line: FinishedLine) -> None:
    import polars as pl

    examples = pl.read_parquet(line.dataset("examples") / "*.parquet").filter(pl.col("split") == "train")
    row = examples["row_id"][0]
    told = line.stages("trace", row).stdout
    assert re.search(r"from +(alpaca: alpaca/animals.json|chats: chats/legs.jsonl), record \d+", told), told
    assert re.search(r"tokenize +examples .*tokens, \d+ supervised", told)
    assert "trained   temper version 1" in told
    back = line.stages("trace", "temper/1").stdout
    assert f"trained on {examples.filter(pl.col('source') == 'alpaca')['row_id'].n_unique()} rows of alpaca" in back
    assert re.search(r"rests on +ingest", back)


@pytest.mark.slow
def test_a_set_aside_row_is_traced_to_its_verdict(line: FinishedLine) -> None:
    import polars as pl

    removed = pl.read_parquet(line.dataset("duplicates") / "*.parquet").filter(pl.col("reason") == "near_duplicate")
    told = line.stages("trace", removed["row_id"][0]).stdout
    assert re.search(
        rf"dedup +duplicates +reason near_duplicate +survivor_id {removed['survivor_id'][0]} +similarity 0\.\d+", told
    ), told
    assert "trained   no registered model" in told


@pytest.mark.slow
def test_explain_names_the_part_of_the_key_that_changed(line: FinishedLine) -> None:
    assert "is a hit: nothing changed" in line.stages("explain", "filter").stdout
    changed = line.stages(
        "start", "curate", "--profile", line.profile, "--set", "dedup.min_similarity=0.7", "--run-name", "changed"
    ).stdout
    told = line.stages("explain", "dedup", "--in-run", Path(changed.strip()).name).stdout
    assert "dedup will run: 1 part(s) of its key changed" in told
    assert "params.min_similarity: 0.8 -> 0.7" in told
    later = line.stages("explain", "filter", "--in-run", Path(changed.strip()).name).stdout
    assert "filter cannot be judged yet: dedup, which comes before it, would run first" in later


@pytest.mark.slow
def test_a_second_run_finds_every_stage_done(line: FinishedLine) -> None:
    told = line.stages("pipeline", "all", "--profile", line.profile, "--run-name", "again").stdout
    assert told.count("(found, verified)") == len(STAGES), told
