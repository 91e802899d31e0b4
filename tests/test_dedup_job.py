"""The stage as it is run: tables of files in and out, and sketches that outlive a run."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup_rows import STORY, planted, random_text, row, with_changed_words
from rows import table
from stages.dedup import job, sketch_book, templates, update
from stages.dedup.comparison import Comparison
from stages.dedup.stage import DedupParams
from stages.processes.spool import scan_spool
from stages.schema import load_schema
from workbench import lend


def run(
    folder: Path, rows: list[dict[str, Any]], part_rows: int = 7, **params: Any
) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """Both tables and the facts, of rows given in several files."""
    conversations = table("conversations", rows).sort("row_id")
    folders = {name: folder / name for name in ("conversations", "unique", "duplicates")}
    for path in folders.values():
        path.mkdir(parents=True)
    for number, first in enumerate(range(0, max(conversations.height, 1), part_rows)):
        conversations.slice(first, part_rows).write_parquet(folders["conversations"] / f"part-{number:05d}.parquet")
    facts = job.run(**folders, params=DedupParams(**params), workbench=lend(folder.parent / "bench"))
    made = {
        name: scan_spool(folders[name], load_schema(name)).collect().sort("row_id") for name in ("unique", "duplicates")
    }
    return made, facts


def with_content(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r | {"content_id": f"{hash(str(r['messages'])) & (2**63 - 1):032x}"} for r in rows]


def test_files_of_any_size_give_the_same_rows(tmp_path: Path) -> None:
    rows, _ = planted(60, seed=3)
    one, _ = run(tmp_path / "a" / "run", rows, part_rows=1000)
    other, _ = run(tmp_path / "b" / "run", rows, part_rows=9)
    assert one["duplicates"].height > 10
    assert all(one[name].equals(other[name]) for name in one)


def test_a_row_that_goes_shows_its_first_words_that_differ_from_the_survivor(tmp_path: Path) -> None:
    rows = [
        row("a", STORY, "Yes, it did so."),
        row("b", with_changed_words(STORY, 1), "Yes, it did."),
        row("c", STORY, "Yes, it did so."),
    ]
    tables, _ = run(tmp_path / "x" / "run", rows)
    told = {
        name: (own, other)
        for name, own, other in tables["duplicates"].select("file", "own_words", "survivor_words").rows()
    }
    assert told.pop("b") == ("changed1 ferry left the harbour at dawn with", "old ferry left the harbour at dawn with")
    assert list(told.values()) == [(None, None)]


def test_the_certificate_and_the_answers_in_conflict_are_told_in_words(tmp_path: Path) -> None:
    question = "What is the capital of Australia?"
    _, facts = run(
        tmp_path / "x" / "run", [row("a", STORY), row("b", question, "Sydney."), row("c", question, "It is Canberra.")]
    )
    assert facts["told"] == [
        "recall of pairs 0.8 alike: 100.00% by the curve, 1 of 1 planted ones",
        "2 rows answer a question that others answer differently: answers_to_question above 1",
    ]
    _, facts = run(tmp_path / "y" / "run", [row("b", question, "Canberra.")])
    assert facts["told"] == ["recall of pairs 0.8 alike: 100.00% by the curve, no row was long enough to plant one"]


def test_only_rows_that_are_new_are_sketched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = with_content(planted(40, seed=4)[0])
    sketched = []
    monkeypatch.setattr(
        job, "sketch", lambda frame, params: sketched.append(frame.height) or sketch_book_sketch(frame, params)
    )
    _, facts = run(tmp_path / "first", rows[:50])
    assert (sum(sketched), facts["rows_sketched"], facts["rows_known"]) == (50, 50, 0)
    sketched.clear()
    _, facts = run(tmp_path / "second", rows)
    assert (sum(sketched), facts["rows_sketched"], facts["rows_known"]) == (len(rows) - 50, len(rows) - 50, 50)


sketch_book_sketch = job.sketch


PREAMBLE = random_text(0, 20)
MANY = with_content(
    planted(35, seed=8)[0] + [row(f"p{i}", f"{PREAMBLE} {random_text(i + 1, 40)}", "So.") for i in range(12)]
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sets(st.integers(0, len(MANY) - 1)), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_whatever_came_and_went_before_the_result_is_that_of_a_full_rebuild(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    arrivals: list[set[int]],
    order: random.Random,
) -> None:
    monkeypatch.setattr(update, "MOST_NEW", 1.0)
    monkeypatch.setattr(templates, "LEAST_ROWS", 4)  # so that what is template comes and goes
    kept = tmp_path_factory.mktemp("kept")
    for number, arrived in enumerate(arrivals):
        rows = [MANY[i] for i in order.sample(sorted(arrived), len(arrived))]
        spoil(kept / "bench" / "cache", order)
        grown, _ = run(kept / f"run-{number}", rows)
        fresh, _ = run(tmp_path_factory.mktemp("fresh") / "run", rows)
        assert all(grown[name].equals(fresh[name]) for name in grown)


def spoil(cache: Path, draw: random.Random) -> None:
    """In every second call, damages a file of the cache or removes it."""
    files = sorted(path for path in cache.rglob("*") if path.is_file())
    if not files or draw.random() < 0.5:
        return
    chosen = draw.choice(files)
    spoiled = bytearray(chosen.read_bytes())
    if spoiled and draw.random() < 0.7:
        spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
        chosen.write_bytes(spoiled)
    else:
        chosen.unlink()


def test_only_what_new_rows_touch_is_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = planted(100, seed=6)
    rows = with_content(rows)
    expected, facts = run(tmp_path / "all" / "run", rows)
    assert not facts["carried_over"]
    run(tmp_path / "first", rows[:-5])
    compared = []
    among = Comparison.match_among
    monkeypatch.setattr(
        Comparison, "match_among", lambda self, rows: compared.append(int(rows.sum())) or among(self, rows)
    )
    tables, facts = run(tmp_path / "second", rows)
    assert facts["carried_over"]
    assert sum(compared) <= 10
    assert all(tables[name].equals(expected[name]) for name in expected)


def test_what_was_found_with_other_values_is_not_carried_over(tmp_path: Path) -> None:
    rows = with_content(planted(60, seed=6)[0])
    run(tmp_path / "first", rows)
    tables, facts = run(tmp_path / "second", rows, min_similarity=0.95)
    assert not facts["carried_over"]
    expected, _ = run(tmp_path / "fresh" / "run", rows, min_similarity=0.95)
    assert all(tables[name].equals(expected[name]) for name in expected)


def test_rows_are_compared_again_when_what_they_share_becomes_a_template_or_stops_being_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "MOST_NEW", 1.0)
    own = random_text(1, 30)
    two = [
        row(name, f"{PREAMBLE} {text}", "So.") for name, text in (("a", own), ("b", with_changed_words(own, *range(5))))
    ]
    others = with_content(two + planted(80, seed=6)[0])
    of_template = with_content([row(f"p{i}", f"{PREAMBLE} {random_text(i + 2, 200)}", "So.") for i in range(60)])
    for number, (rows, gone) in enumerate([(others, 1), (others + of_template, 0), (others, 1)]):
        tables, facts = run(tmp_path / f"run-{number}", rows, shingle_words=1, group_similarity=None)
        assert facts["carried_over"] == (number > 0)
        assert tables["duplicates"].filter(pl.col("file").is_in(["a", "b"])).height == gone
        expected, _ = run(tmp_path / "fresh" / f"run-{number}", rows, shingle_words=1, group_similarity=None)
        assert all(tables[name].equals(expected[name]) for name in expected)


def test_rows_without_content_id_are_never_taken_for_known_ones(tmp_path: Path) -> None:
    rows, _ = planted(10, seed=4)
    run(tmp_path / "first", rows)
    _, facts = run(tmp_path / "second", rows)
    assert facts["rows_known"] == 0


def test_pages_that_nothing_uses_any_more_are_dropped(tmp_path: Path) -> None:
    rows = with_content(planted(10, seed=4)[0])
    run(tmp_path / "first", rows[:5], part_rows=100)
    run(tmp_path / "second", rows[5:], part_rows=100)
    pages = list((tmp_path / "bench" / "cache").rglob("page-*"))
    assert len(pages) == 1
    assert len(sketch_book.Page.read(pages[0]).counts) == len(rows) - 5


@pytest.mark.parametrize("name", ["content.npy", "shingles.u64", "seal.json"])
def test_a_page_with_a_flipped_byte_is_made_again(tmp_path: Path, name: str) -> None:
    rows = with_content(planted(10, seed=4)[0])
    run(tmp_path / "some", rows[:5])
    expected, _ = run(tmp_path / "first", rows)
    damaged = min((tmp_path / "bench" / "cache").rglob(f"page-*/{name}"))
    spoiled = bytearray(damaged.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    damaged.write_bytes(spoiled)
    tables, facts = run(tmp_path / "second", rows)
    assert 0 < facts["rows_sketched"] < len(rows)
    assert all(tables[name].equals(expected[name]) for name in expected)
    _, facts = run(tmp_path / "third", rows)
    assert facts["rows_sketched"] == 0


def test_what_a_killed_run_left_unfinished_is_swept(tmp_path: Path) -> None:
    rows = with_content(planted(10, seed=4)[0])
    run(tmp_path / "first", rows)
    page = next((tmp_path / "bench" / "cache").rglob("page-*"))
    unfinished = page.with_name(".new-left")
    unfinished.mkdir()
    run(tmp_path / "second", rows)
    assert page.exists()
    assert not unfinished.exists()


def test_the_facts_say_how_surely_near_duplicates_are_found(tmp_path: Path) -> None:
    _, facts = run(tmp_path / "run", planted(60, seed=5)[0])
    assert facts["recall_at_threshold_by_curve"] >= 0.9999
    assert facts["probes_found"] == facts["probes"] > 50


def test_probes_are_without_template_as_rows_are_when_candidates_are_sought(tmp_path: Path) -> None:
    preamble = random_text(0, 60)
    rows = [row(f"r{i}", f"{preamble} {random_text(i + 1, 4)}", random_text(-i - 1, 3)) for i in range(100)]
    _, facts = run(tmp_path / "run", rows)
    assert facts["probes"] == 0  # what is left of a row is too short


def test_an_empty_table_stays_empty(tmp_path: Path) -> None:
    tables, _ = run(tmp_path / "run", [])
    assert [frame.height for frame in tables.values()] == [0, 0]
