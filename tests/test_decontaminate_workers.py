"""Decontaminate beside other processes: the same verdicts, wherever a row is compared."""

from pathlib import Path

import pytest

from decontaminated import decontaminated
from rows import table, write_jsonl
from stages.decontaminate import job
from stages.raw_files.source_files import list_source_files
from test_decontaminate_rephrasings import PROBLEMS, TASKS, row


def test_verdicts_are_the_same_however_rows_are_divided_and_over_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [item for item, _, _ in PROBLEMS] + [task for task, _ in TASKS]
    write_jsonl(tmp_path / "evals" / "sums.jsonl", [{"question": item} for item in items])
    said = [("verbatim", item) for item in items[::2]] + [("rephrased", other) for _, other, _ in PROBLEMS]
    said += [("clean", different) for _, _, different in PROBLEMS]
    given = table("kept", [row(f"{i}", text, "Well.", source=source) for i, (source, text) in enumerate(said)])
    evals = list_source_files([tmp_path / "evals"])
    at_once = decontaminated(given, evals, known_clean=["clean"])
    assert {*at_once.contaminated["reason"]} == {"eval_exact", "eval_rephrased"}
    assert at_once.clean.height
    monkeypatch.setattr(job, "ROWS_AT_ONCE", 3)
    for workers in (1, 2):
        divided = decontaminated(given, evals, workers=workers, known_clean=["clean"])
        assert divided.told == at_once.told
        for name, key in (("clean", "row_id"), ("contaminated", "row_id"), ("decontamination", "eval_file")):
            assert getattr(divided, name).sort(key).equals(getattr(at_once, name).sort(key)), (workers, name)
