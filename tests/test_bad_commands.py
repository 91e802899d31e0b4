"""Arguments and disks that a command cannot work with: one error in words, a code of its own, and nothing lost."""

import errno
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from safetensors import SafetensorError

from curated_run import finished_run, record
from stages import commands
from stages.__main__ import main
from stages.errors import ConfigError, Interrupted, TryAgain, UsageError
from stages.execution.local_run import _run_in_its_own_process
from stages.execution.runs import load_run
from stages.pipeline import STAGES

ROWS = ["whatif", "filter", "--examples"]
RUN = ["run", "score", "--output", "out"]


@pytest.mark.parametrize(("arguments", "said"), [
    ([*RUN, "--workers", "-1"], "argument --workers: '-1' is not a whole number of at least 1"),
    ([*RUN, "--workers", "0"], "'0' is not a whole number of at least 1"),
    ([*RUN, "--batch-rows", "0"], "argument --batch-rows: '0' is not a whole number of at least 1"),
    ([*RUN, "--batch-rows", "many"], "'many' is not a whole number of at least 1"),
    (["diff", "a", "b", "--examples", "-3"], "'-3' is not a whole number of at least 0"),
    ([*ROWS, "-1"], "'-1' is not a whole number of at least 0"),
    (["start", "curate", "--workers", "2"], "unrecognized arguments: --workers 2"),
])  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == UsageError.exit_code
    assert said in capsys.readouterr().err


def test_a_page_is_a_file_and_not_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path, "good", {"conversations": [record(1)]})
    assert main(["diff", "good", "good", "--store", str(tmp_path), "--output", str(tmp_path)]) == UsageError.exit_code
    assert f"--output {tmp_path} is a folder; name the page, as in {tmp_path}/diff.html" in capsys.readouterr().err


def test_a_store_that_is_a_file_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, store = tmp_path / "raw.jsonl", tmp_path / "store"
    raw.write_text("{}")
    store.write_text("mine")
    arguments = ["--store", str(store), "--source", f"raw={raw}", "--set", "tokenize.tokenizer=gpt2"]
    assert main(["start", "curate", *arguments]) == UsageError.exit_code
    assert f"{store}/runs: Not a directory; correct the path" in capsys.readouterr().err
    assert store.read_text() == "mine"


def noted(fault: BaseException, note: str) -> BaseException:
    fault.add_note(note)
    return fault


@pytest.mark.parametrize(("fault", "code", "said"), [
    (PermissionError(errno.EACCES, "Permission denied", "/mine"), UsageError.exit_code, "/mine: Permission denied; correct"),
    (OSError(errno.ENOSPC, "No space left on device", "/full"), TryAgain.exit_code, "/full: No space left on device; make room"),
    (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), TryAgain.exit_code,
     "the disk: No space left on device; make room"),
    (OSError(errno.EFBIG, "File too large", "/read", None, "/written"), TryAgain.exit_code, "/written: File too large; make room"),
    (OSError(errno.EROFS, "Read-only file system"), TryAgain.exit_code, "the disk: Read-only file system; let it be written to"),
    (OSError("No space left on device (os error 28)"), TryAgain.exit_code, "the disk: No space left on device; make room"),
    (noted(OSError("No space left on device (os error 28)"), "while /out was made"), TryAgain.exit_code,
     "the disk, while /out was made: No space left on device; make room"),
    (KeyboardInterrupt(), Interrupted.exit_code, "interrupted before the end; run the same command again"),
])  # fmt: skip
def test_what_the_machine_refuses_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: BaseException, code: int, said: str
) -> None:
    def refuse(_: object) -> str:
        raise fault

    monkeypatch.setattr(commands, "list_stages", refuse)
    assert main(["list"]) == code
    assert capsys.readouterr().err.startswith(f"error: {said}")


@pytest.mark.parametrize("is_starting", [False, True])
def test_a_pipeline_that_is_ended_ends_its_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_starting: bool
) -> None:
    """The stage is a sleeper that tells its id; SIGTERM comes to the pipeline alone, maybe before it has the process."""
    told, sleeper, sent = tmp_path / "pid", tmp_path / "sleeper", Event()
    os.mkfifo(told)
    sleeper.write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 600\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    folder = finished_run(tmp_path / "store", "good", {"conversations": [record(1)]})
    if is_starting:

        class SlowToStart(subprocess.Popen[str]):
            def __init__(self, command: list[str], **how: Any) -> None:
                super().__init__(command, **how)
                sent.wait()

        monkeypatch.setattr(subprocess, "Popen", SlowToStart)
    sleeping = list[str]()

    def end_once_it_sleeps() -> None:
        sleeping.append(told.read_text().strip())  # waits until it is written
        os.kill(os.getpid(), signal.SIGTERM)
        sent.set()

    Thread(target=end_once_it_sleeps, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        _run_in_its_own_process(load_run(folder), STAGES["dedup"], [])
    with suppress(ChildProcessError):  # it was waited for, if it died at once
        os.waitpid(int(sleeping[0]), 0)
    assert not Path(f"/proc/{sleeping[0]}").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/lost")

    monkeypatch.setattr(commands, "list_stages", fail)
    with pytest.raises(FileNotFoundError):
        main(["list"])


def test_a_source_that_no_pipeline_reads_is_refused_in_a_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "p.yaml"
    profile.write_text(f"sources: {{raw: {profile}, eval: {profile}}}\nstages: {{tokenize: {{tokenizer: gpt2}}}}")
    assert main(["start", "curate", "--store", str(tmp_path / "s"), "--profile", str(profile)]) == ConfigError.exit_code
    assert (
        "profile p names eval (did you mean evals?), which no pipeline reads; the sources are adapter"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(("setting", "said"), [
    ("filter.max_symbol_shar=1", "filter.max_symbol_shar is no parameter (did you mean max_symbol_share? parameters: "),
    ("mix.weights={a: -2}", "mix.weights.a = -2: "),
    ("train.method=magic", "train.method = 'magic': "),
    ("ingest.repairs=user_turns_merged", "ingest.repairs = 'user_turns_merged': a list belongs here, such as [a, b]"),
    ("ingest.columns=Question", "ingest.columns = 'Question': a mapping belongs here, such as {name: value}"),
    ("ingest.columns={promt: A, response: B}", "ingest.columns.promt: the name should be 'prompt', 'context'"),
])  # fmt: skip
def test_a_wrong_value_names_its_parameter(capsys: pytest.CaptureFixture[str], setting: str, said: str) -> None:
    assert main(["start", "all", "--set", setting]) == ConfigError.exit_code
    assert said in capsys.readouterr().err


def test_a_stage_of_a_run_is_asked_for_by_the_name_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEMPER_STORE", str(tmp_path))
    finished_run(tmp_path, "nightly", {"conversations": [record(n) for n in range(3)]})
    assert main(["run", "dedup", "--run", "nightly", "--progress", "off"]) == 0
    assert "unique 3 rows" in capsys.readouterr().out
    assert main(["run", "dedup", "--run", "nightl"]) == UsageError.exit_code
    assert "no run 'nightl' in" in capsys.readouterr().err


def test_what_a_list_or_a_mapping_may_hold_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "ingest"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^  repairs .*; any of .*user_turns_merged", told, re.MULTILINE)
    assert re.search(r"^  columns .*; for prompt, context, response", told, re.MULTILINE)


def test_values_that_exclude_each_other_name_their_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "all", "--set", "mix.weights={a: 2}", "--set", "mix.repeats={a: 2}"]) == ConfigError.exit_code
    assert "error: mix: repeats and shares both say how often rows are seen" in capsys.readouterr().err
