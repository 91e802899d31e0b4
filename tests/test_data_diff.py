import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser import measure
from curated_run import finished_run, record
from report_tables import HOSTILE
from rows import sealed
from stages.__main__ import main
from stages.comparisons.data_diff import Difference, compare
from stages.comparisons.diff_page import diff_page
from stages.comparisons.diff_quotes import quoted_classes
from stages.comparisons.diff_text import diff_text
from stages.comparisons.snapshots import find_snapshot
from stages.errors import ConfigError, DataError, UsageError
from stages.execution.runs import curated_datasets, load_run
from stages.measures.data_shift import (
    KindShift,
    index_by_chance,
    population_stability_index,
    reading_of,
    shift_between,
)
from stages.store.storage import LocalStore, digest_of
from stages.store.tables import read_table

REASON = {"duplicates": "near_duplicate", "rejected": "too_short", "contaminated": "eval_exact", "left_out": "over_source_cap",
          "refused": "too_long"}  # fmt: skip


def aside(dataset: str, row: dict[str, Any], **facts: Any) -> dict[str, Any]:
    found = {"survivor_id": "0" * 32, "similarity": 0.9, "matched_key": "response", "value": 3.0, "threshold": 10.0,
             "eval_file": "quiz.jsonl", "eval_item": 4, "evidence": "noon", "overlap": 1.0, "detail": "700 tokens"}  # fmt: skip
    return {**row, "reason": REASON[dataset], **found, **facts}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Runs `old` and `new`: five rows go for one reason each, one record is quarantined, one gone, one file gone, and
    one changed; one row was rejected before and is in now, one record and one file are new."""
    rows = [record(n) for n in range(20)]
    other = record(0, file="b.jsonl")
    readmitted, changed, new = (
        rows[10],
        record(11, "Quite another answer to it."),
        [record(30), record(0, file="c.jsonl")],
    )
    old = {"conversations": [*rows, other], "mixture": [r for r in [*rows, other] if r is not readmitted],
           "rejected": [aside("rejected", readmitted)]}  # fmt: skip
    finished_run(tmp_path, "old", {**old, "unique": rows, "kept": old["mixture"], "examples": []})
    kept = [*rows[8:11], changed, *rows[12:], *new]
    tables: dict[str, Any] = {name: [aside(name, row)] for name, row in zip(REASON, rows, strict=False)}
    fault = {"source": "towns", "file": "a.jsonl", "record": 5, "reason": "empty_answer"}
    finished_run(tmp_path, "new", {
        "conversations": [*rows[:5], *rows[7:11], changed, *rows[12:], *new], "quarantined": [fault],
        "mixture": [*kept, rows[4]], "unique": rows, "kept": kept, **tables,
    })  # fmt: skip
    return LocalStore(tmp_path)


def difference(store: LocalStore, before: str = "old", after: str = "new") -> Difference:
    return compare(find_snapshot(store, before), find_snapshot(store, after))


def test_every_row_that_went_has_the_reason_that_the_second_run_gives(store: LocalStore) -> None:
    found = difference(store)
    assert {count.reason: count.rows for count in found.out.counts} == {
        "duplicates: near_duplicate": 1, "rejected: too_short": 1, "contaminated: eval_exact": 1,
        "left_out: over_source_cap": 1, "refused: too_long": 1, "quarantined: empty_answer": 1, "record gone": 1,
        "not in this dataset": 1, "file gone": 1,
    }  # fmt: skip
    assert {count.source for count in found.out.counts} == {"towns"}


def test_every_row_that_came_says_what_it_was_before(store: LocalStore) -> None:
    assert {count.reason: count.rows for count in difference(store).came.counts} == {
        "was rejected: too_short": 1, "new record": 1, "new file": 1,
    }  # fmt: skip


def test_another_text_at_the_same_place_is_a_change_and_neither_out_nor_in(store: LocalStore) -> None:
    found = difference(store)
    assert found.changed.select("file", "record").rows() == [("a.jsonl", 11)]
    quote = quoted_classes(found, 2, 200)[0].quotes[0]
    assert quote.beside is not None
    assert quote.beside.response is not None
    assert "[Quite another answer to it]" in diff_text(found, quoted_classes(found, 2, 200))


def test_rows_that_moved_in_their_file_are_not_changed_into_one_another(tmp_path: Path) -> None:
    """A record is put in at the top, and each run takes other rows: what it did not take is still known to it."""
    rows = [record(n) for n in range(6)]
    moved = [
        record(0, "Put in at the top, so that all others move."),
        *({**row, "record": n + 1} for n, row in enumerate(rows)),
    ]
    left_out = [aside("left_out", row) for row in rows[::2]]
    finished_run(tmp_path, "old", {"conversations": rows, "mixture": rows[1::2], "left_out": left_out})
    left_out = [aside("left_out", row) for row in moved[2::2]]
    finished_run(tmp_path, "new", {"conversations": moved, "mixture": moved[1::2], "left_out": left_out})
    found = difference(LocalStore(tmp_path))
    assert found.changed.is_empty()
    assert [(count.reason, count.rows) for count in found.out.counts] == [("left_out: over_source_cap", 3)]
    assert [(count.reason, count.rows) for count in found.came.counts] == [("was left_out: over_source_cap", 3)]


def test_every_row_of_both_sides_is_counted_once(store: LocalStore) -> None:
    found = difference(store)
    assert found.before_rows == found.same_rows + found.changed.height + found.out.rows.height
    assert found.after_rows == found.same_rows + found.changed.height + found.came.rows.height


def test_turned_around_what_went_comes(store: LocalStore) -> None:
    there, back = difference(store), difference(store, "new", "old")
    assert there.out.rows["row_id"].to_list() == back.came.rows["row_id"].to_list()
    assert there.came.rows["row_id"].to_list() == back.out.rows["row_id"].to_list()
    assert there.same_rows == back.same_rows


def test_a_snapshot_does_not_differ_from_itself(store: LocalStore) -> None:
    found = difference(store, "new", "new")
    assert (found.out.rows.height, found.came.rows.height, found.changed.height, found.retold) == (0, 0, 0, [])
    assert {shift.psi for shift in found.shift.lengths} == {0.0}
    assert {shift.ks for shift in found.shift.lengths} == {0.0}


def test_the_same_rows_told_otherwise_are_counted_by_column_and_values(tmp_path: Path) -> None:
    rows = [record(n, split="train", repeats=1) for n in range(5)]
    finished_run(tmp_path, "old", {"mixture": rows})
    finished_run(tmp_path, "new", {"mixture": [{**row, "split": "test"} for row in rows[:2]] + rows[2:]})
    assert difference(LocalStore(tmp_path)).retold == [("split", "train", "test", 2)]


@pytest.mark.parametrize("form", ["run folder", "result folder", "dataset folder", "version"])
def test_a_snapshot_may_be_named_in_any_way(store: LocalStore, form: str) -> None:
    run = store.root / "runs" / "new"
    names = {
        "run folder": str(run),
        "result folder": str(store.root / "results/mix/new"),
        "dataset folder": str(store.root / "results/mix/new/mixture"),
        "version": digest_of(sorted(curated_datasets(load_run(run)).items()))[:12],
    }
    snapshot = find_snapshot(store, names[form])
    assert snapshot.dataset == "mixture"
    assert {"conversations", "rejected", "kept"} <= set(snapshot.folders), "its history is known"


def test_a_run_that_other_code_planned_is_still_compared(store: LocalStore) -> None:
    plan = store.root / "runs" / "old" / "run.json"
    stated = json.loads(plan.read_text()) | {"params": {"ingest": {"a_setting_of_then": 1}}}
    plan.write_text(json.dumps(stated))
    assert difference(store).before_rows == 20
    with pytest.raises(UsageError):
        find_snapshot(store, "0123456789ab")
    with pytest.raises(ConfigError, match="planned by other code"):
        load_run(plan.parent)


def test_what_is_no_snapshot_is_refused_with_what_is_one(store: LocalStore) -> None:
    with pytest.raises(UsageError, match=r"no run 'nothing'.*a snapshot is also"):
        find_snapshot(store, "nothing")
    with pytest.raises(UsageError, match="holds no conversations"):
        find_snapshot(store, str(store.root / "results/ingest/new/quarantined"))


def test_a_run_whose_result_is_gone_is_refused(store: LocalStore) -> None:
    shutil.rmtree(store.root / "results/mix/new/mixture")
    with pytest.raises(DataError, match=r"new/mixture holds no part of a table; run the stage that made it again"):
        find_snapshot(store, "new")


def test_examples_tell_value_and_threshold_and_no_more_are_quoted_than_asked_for(store: LocalStore) -> None:
    text = diff_text(found := difference(store), quoted_classes(found, 1, 200))
    assert "a.jsonl record 1" in text
    assert "value 3  threshold 10" in text
    assert all(len(group.quotes) <= 1 for group in quoted_classes(found, 1, 200))
    assert not any(group.quotes for group in quoted_classes(found, 0, 200))


def test_a_shift_of_lengths_is_measured(tmp_path: Path) -> None:
    short, long = ([record(n, "x" * size) for n in range(start, start + 10)] for start, size in ((0, 10), (50, 1000)))
    tables = [read_table(sealed(tmp_path / name, "unique", rows)) for name, rows in (("one", short), ("two", long))]
    answers = next(shift for shift in shift_between(*tables).lengths if shift.name == "response_chars")
    assert answers.ks == 1.0
    assert answers.psi == pytest.approx(2 * 0.95 * math.log(20)), "an empty bin counts as half of ten rows"
    assert reading_of(answers) == "moved far"
    assert (answers.before[1], answers.after[1]) == (10, 1000)
    assert sum(answers.bins.before) == sum(answers.bins.after) == 10


@pytest.mark.parametrize(("sources", "last"), [(13, "s12"), (14, "2 others")])
def test_rare_kinds_are_taken_together_unless_there_is_one(tmp_path: Path, sources: int, last: str) -> None:
    rows = [record(n) | {"source": f"s{n:02}"} for n in range(sources)]
    table = read_table(sealed(tmp_path / "one", "unique", rows))
    (kind,) = (kind for kind in shift_between(table, table).kinds if kind.name == "source")
    assert (len(kind.shares), kind.shares[-1][0]) == (13, last)


def test_the_index_of_a_known_shift() -> None:
    index = population_stability_index([50, 50], [10, 30])
    assert index == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))
    assert index_by_chance([50, 50], [10, 30]) == pytest.approx(3.841 * (1 / 100 + 1 / 40), rel=0.03), "of chi-squared"


@pytest.mark.parametrize(("before", "after", "told"), [
    ([3, 2, 0, 1], [1, 3, 1, 1], "too few rows to tell: chance gives up to 2.592"),
    ([300, 200, 0, 100], [100, 300, 100, 100], "moved far"),
    ([9, 8], [8, 9], "as before"),
    ([0, 5], [5, 0], "moved far"),
])  # fmt: skip
def test_a_shift_is_read_for_what_so_many_rows_can_tell(before: list[int], after: list[int], told: str) -> None:
    kind = KindShift("x", [], population_stability_index(before, after), index_by_chance(before, after))
    assert reading_of(kind).startswith(told)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=6), st.data())
def test_the_index_is_never_negative_and_the_same_both_ways(counts: list[int], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.integers(0, 9), min_size=len(counts), max_size=len(counts)))
    assert population_stability_index(counts, other) >= 0
    assert population_stability_index(counts, other) == pytest.approx(population_stability_index(other, counts))


def hostile(store: Path) -> LocalStore:
    finished_run(store, "old", {"mixture": [record(n, HOSTILE + str(n)) for n in range(3)]})
    finished_run(store, "new", {"mixture": [record(1, "W" * 1_000_000), record(7, HOSTILE, task=HOSTILE)]})
    return LocalStore(store)


def test_the_page_and_the_terminal_are_safe_from_hostile_rows(tmp_path: Path) -> None:
    found = difference(hostile(tmp_path))
    page = diff_page(found, classes := quoted_classes(found, 10, 400))
    assert "<script" not in page
    assert "<img" not in page
    assert len(page) < 100_000
    assert "Content-Security-Policy" in page
    text = diff_text(found, classes)
    assert not set(text) & {chr(code) for code in (*range(10), *range(11, 32), 0x202E)}


def test_neither_page_nor_terminal_tells_private_data(tmp_path: Path) -> None:
    told = "Write to jane.doe@mail.tessmere.example at any time of the day."
    one, other, gone = record(1, told), record(1, f"{told} Please."), record(2, told)
    finished_run(tmp_path, "old", {"conversations": [one, gone], "mixture": [one, gone], "examples": []})
    facts = aside("contaminated", gone, evidence=told)
    finished_run(
        tmp_path, "new", {"conversations": [other, gone], "mixture": [other], "contaminated": [facts], "clean": [other]}
    )
    found = difference(LocalStore(tmp_path))
    classes = quoted_classes(found, 10, 400)
    assert [group.direction for group in classes] == ["changed", "out"]
    for text in (diff_page(found, classes), diff_text(found, classes)):
        assert "jane.doe" not in text
        assert text.count("[EMAIL]") == 4, "before, now, gone, and the evidence why"


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_a_phone_and_a_desk(tmp_path: Path, width: int) -> None:
    found = difference(hostile(tmp_path))
    (tmp_path / "diff.html").write_text(diff_page(found, quoted_classes(found, 10, 400)), encoding="utf-8")
    measured = measure(tmp_path / "diff.html", width, tmp_path)
    assert (measured["sticking_out"], measured["width"]) == ([], width)


def test_the_command_prints_the_difference_and_writes_the_page(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, of_store = tmp_path / "page.html", ["--store", str(store.root)]
    assert main(["diff", "old", "new", *of_store, "--output", str(page)]) == 0
    assert re.search(r"1 +towns +rejected: too_short", capsys.readouterr().out)
    assert "<h1>old → new</h1>" in page.read_text(encoding="utf-8")
    assert main(["diff", "old", "gone", *of_store]) == UsageError.exit_code
    missing = tmp_path / "no" / "page.html"
    assert main(["diff", "old", "new", *of_store, "--output", str(missing)]) == UsageError.exit_code
