"""The sections of the data report that compare: sources, lengths, kinds, duplicates and contamination."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from conftest import run_stages
from curated_run import filled, finished_run, record
from report_tables import checked, summed
from rows import chat, conversation, sealed
from stages.filter.stage import FilterParams
from stages.pages.marks import Marked
from stages.pages.quotes import Quote
from stages.report.funnel import Files, files_of
from stages.report.page import render
from stages.report.reasons import set_aside_of
from stages.report.spread import makeups_of, spreads_of
from stages.report.stage import ReportParams
from stages.report.summaries import summary_of
from stages.report.thresholds import curves_of
from stages.store.tables import read_table

PRIVATE = f"jane.doe@mail.tessmere.example or AKIAIOSFODNN7EXAMPLE api_key={'aB3dE5fG7hJ9kL1m' * 2}"
MASKED = "[EMAIL] or [SECRET] api_key=[PASSWORD]"


def tables(folder: Path, **rows: list[dict[str, Any]]) -> dict[str, pl.LazyFrame]:
    """Sealed tables; columns that must be there and do not matter here hold nothing."""
    return {name: read_table(sealed(folder / name, name, filled(name, given))) for name, given in rows.items()}


def marked(text: Marked | None) -> list[str]:
    return [piece.text for piece in text.pieces if piece.marked] if text else []


def duplicate(name: str, similarity: float, answer: str, survivor: str) -> dict[str, Any]:
    row = conversation(name, "Name a river of Orvale, please", answer)
    return row | {
        "survivor_id": survivor,
        "similarity": similarity,
        "reason": "near_duplicate",
        "matched_key": "conversation",
    }


def quotes(given: dict[str, pl.LazyFrame], **params: int) -> list[Quote]:
    return [q for part in set_aside_of(given, ReportParams(**params)) for reason in part.reasons for q in reason.quotes]


def test_the_least_similar_pair_comes_first_with_the_words_marked_in_which_it_differs(tmp_path: Path) -> None:
    stays = conversation("stays", "Name a river of Orvale, please", "It is the Lun, which is long.")
    pairs = [duplicate(f"d{n}", n / 20, f"It is the River{n}, which is long.", stays["row_id"]) for n in range(10, 20)]
    first = quotes(tables(tmp_path, unique=[stays], duplicates=pairs), examples_per_reason=2)
    assert [marked(quote.response) for quote in first] == [["River10"], ["River11"]]
    assert first[0].beside is not None
    assert marked(first[0].beside.response) == ["Lun"]
    assert marked(first[0].prompt) == []


def test_a_contaminated_row_stands_beside_the_words_that_it_shares_with_an_item(tmp_path: Path) -> None:
    row = conversation("c", "Please answer: When does the Bell ring, at noon?", "Yes")
    found = {"reason": "eval_ngram", "eval_file": "quiz.jsonl", "eval_item": 4, "overlap": 0.9}
    (quote,) = quotes(tables(tmp_path, contaminated=[row | found | {"evidence": "does the bell ring at noon"}]))
    assert marked(quote.prompt) == ["does the Bell ring, at noon"]
    assert quote.beside is not None
    assert quote.beside.place == "quiz.jsonl item 4"
    assert marked(quote.beside.response) == ["does the bell ring at noon"]
    assert quote.facts == [("overlap", 0.9)]


def test_what_a_rule_caught_word_for_word_is_marked_where_it_stands(tmp_path: Path) -> None:
    row = conversation("r", "Who?", "x " * 900 + "As an AI model, I cannot.")
    caught = {"refusal_phrase": "As an AI model", "reason": "refusal", "value": 1.0, "threshold": 0.0}
    (quote,) = quotes(tables(tmp_path, rejected=[row | caught]), excerpt_chars=100)
    assert marked(quote.response) == ["As an AI model"]


def test_no_private_data_of_a_row_comes_onto_the_page(tmp_path: Path) -> None:
    rows = [conversation(f"p{n}", f"Ask {n} {PRIVATE}", f"Say {'x ' * 30}{PRIVATE}") for n in range(4)]
    twin = conversation("twin", rows[3]["messages"][0]["content"], f"Says {'x ' * 30}{PRIVATE}")
    item = {"eval_file": "quiz.jsonl", "eval_item": 4, "evidence": f"x x {PRIVATE}", "overlap": 0.9}
    answers = {"prompt": PRIVATE, "reference": PRIVATE, "base_answer": PRIVATE, "tuned_answer": PRIVATE}
    given = tables(
        tmp_path,
        unique=rows,
        quarantined=[{"source": "towns", "reason": "empty_answer", "file": "a.jsonl", "found": PRIVATE}],
        duplicates=[twin | {"survivor_id": rows[3]["row_id"], "similarity": 0.9, "reason": "near_duplicate"}],
        rated=[row | {"response_chars": 50} for row in rows],
        rejected=[rows[0] | {"response_chars": 50, "reason": "too_short", "value": 50.0, "threshold": 60.0}],
        contaminated=[rows[1] | item | {"reason": "eval_ngram"}],
        generations=[{"row_id": rows[2]["row_id"], **answers}],
    )
    page = render(given, {}, ReportParams(filter={"min_response_chars": 20}, excerpt_chars=40 + len(PRIVATE)))
    assert {"reasons", "duplicates", "contaminated", "thresholds", "answers"} <= set(page.sections)
    assert [part for part in PRIVATE.split() if part in page.html] == ["or"]
    assert page.html.count("[EMAIL]") > 10
    assert page.html.count("[PASSWORD]") > 10


def test_a_text_without_its_private_data_still_says_how_much_more_there_is(tmp_path: Path) -> None:
    caught = {"reason": "too_short", "value": 1.0, "threshold": 2.0}
    (quote,) = quotes(
        tables(tmp_path, rejected=[conversation("r", "Who?", f"{PRIVATE} {'x' * 50}") | caught]), excerpt_chars=40
    )
    assert quote.response is not None
    assert quote.response.more_chars == len(f"{MASKED} {'x' * 50}") - 40


def test_lengths_are_told_after_each_stage_with_what_it_removed(tmp_path: Path) -> None:
    rows = [conversation(f"n{n}", "Ask", "x" * n) for n in range(1, 101)]
    scored = [row | {"response_chars": n, "prompt_chars": 3} for n, row in enumerate(rows[:50], 1)]
    given = tables(tmp_path, unique=rows, kept=scored, clean=scored)
    answers = next(spread for spread in spreads_of(given) if spread.name == "response_chars")
    told = [(s.stage, s.rows, s.removed, s.low, s.median, s.high, s.chart is not None) for s in answers.stages]
    assert told == [
        ("dedup", 100, 0, 5, 50, 95, True),
        ("filter", 50, 50, 3, 25, 48, True),
        ("decontaminate", 50, 0, 3, 25, 48, False),
    ]


def test_a_document_has_neither_prompt_nor_turns(tmp_path: Path) -> None:
    document = conversation("d") | {"messages": chat("Plain text.", roles=["text"])}
    spreads = spreads_of(tables(tmp_path, conversations=[document]))
    assert [(spread.name, spread.stages[0].median) for spread in spreads] == [("response_chars", 11)]


def test_the_makeup_shows_shares_by_stage_and_puts_rare_kinds_together(tmp_path: Path) -> None:
    rows = [conversation(f"n{n}", "Ask", "Say", task=f"task{min(n, 12)}" if n else None) for n in range(40)]
    given = tables(tmp_path, conversations=rows, unique=[row for row in rows if row["task"] == "task12"])
    (makeup,) = makeups_of(given)
    assert makeup.stages == ["ingest", "dedup"]
    assert makeup.kinds[0] == ("task12", [28 / 40, 1.0])
    assert None in [kind.name for kind in makeup.kinds]
    assert makeup.others is not None
    assert makeup.others.name == "5 others"
    assert round(sum(kind.shares[0] for kind in [*makeup.kinds, makeup.others]), 9) == 1
    nine = [row for row in rows if row["task"] in {f"task{n}" for n in range(1, 10)}]
    (makeup,) = makeups_of(tables(tmp_path / "nine", conversations=nine))
    assert (len(makeup.kinds), makeup.others) == (9, None), "a single other has a name"


def test_files_are_counted_once_and_those_that_gave_nothing_apart(tmp_path: Path) -> None:
    rows = [conversation(f"n{n}", "Ask", "Say", file=f"f{n % 3}.jsonl") for n in range(9)]
    fault = {"source": "test", "reason": "invalid_json"}
    faults = [fault | {"file": "f0.jsonl", "record": 7}, fault | {"file": "only-bad.jsonl", "record": 0},
              fault | {"file": "broken.gz", "record": None}]  # fmt: skip
    assert files_of(tables(tmp_path, conversations=rows, quarantined=faults)) == Files(read=4, unread=1)


def test_many_reasons_share_the_room_for_quotes(tmp_path: Path) -> None:
    faults = [{"source": "s", "file": "f", "record": n, "reason": f"fault_{n % 90:02d}"} for n in range(90 * 12)]
    shown = quotes(tables(tmp_path, quarantined=faults), examples_per_reason=10)
    assert len(shown) == 90 * 6
    assert len({re.sub(r".* record ", "", quote.place) for quote in shown}) == 90 * 6


def rule_rows() -> dict[str, list[dict[str, Any]]]:
    """Answers of 1 to 40 characters: those below 20 are rejected, those of code below 5."""
    rows = []
    for n in range(1, 41):
        task, limit = ("code", 5.0) if n % 2 else ("chat", 20.0)
        row = conversation(f"n{n}", "Ask", "x" * n) | {"response_chars": n, "prompt_chars": 3, "task_type": task}
        verdict = {"reason": "too_short", "value": float(n), "threshold": limit} if n < limit else {}
        rows.append(row | verdict)
    told = ("reason", "value", "threshold")
    bare = [{name: value for name, value in row.items() if name not in told} for row in rows]
    kept = [clean for clean, row in zip(bare, rows, strict=True) if "reason" not in row]
    return {"rated": bare, "kept": kept, "rejected": [row for row in rows if "reason" in row]}


def test_the_nearest_rows_stand_on_both_sides_of_the_thresholds_that_rejected_rows(tmp_path: Path) -> None:
    curves = {curve.setting: curve for curve in curves_of(tables(tmp_path, **rule_rows()), ReportParams())}
    found = curves["min_response_chars"]
    assert (found.rejected, found.thresholds) == (11, [5.0, 20.0])
    assert found.misses is not None
    near = [[dict(quote.facts) for quote in side] for side in (found.misses.rejected, found.misses.kept)]
    assert {facts["value"] for facts in near[0]} >= {3.0, 18.0}
    assert {(facts["value"], facts["threshold"]) for facts in near[1]} >= {(5.0, 5.0), (20.0, 20.0)}
    assert curves["max_response_chars"].rejected == 0
    assert next(iter(curves)) == "min_response_chars", "rules that rejected rows come first"


def test_every_threshold_of_a_run_is_shown_with_the_rows_nearest_to_it_though_it_rejected_none(tmp_path: Path) -> None:
    told = FilterParams(
        min_response_chars=1, max_response_chars=40, max_url_count=3, by_task={"code": {"max_response_chars": 30}}
    )
    given = rule_rows()
    rows = tables(tmp_path, rated=given["rated"], kept=given["rated"])
    params = ReportParams().in_run({"filter": told})
    curves = {curve.setting: curve for curve in curves_of(rows, params)}
    on = {setting: curve.thresholds for setting, curve in curves.items() if curve.thresholds}
    assert on == {
        "min_prompt_chars": [1.0], "min_response_chars": [1.0], "max_response_chars": [30.0, 40.0], "max_url_count": [3.0],
        "max_repeated_trigram_share": [0.8], "max_character_run": [100.0],
    }  # fmt: skip
    near = {
        setting: [[facts["value"] for facts in map(dict, (q.facts for q in side))] for side in curve.misses]
        for setting, curve in curves.items()
        if curve.misses
    }
    assert near["max_response_chars"] == [[31.0, 33.0, 35.0], [40.0, 29.0, 38.0]], "code ends at 30, chat at 40"
    assert near["min_response_chars"] == [[], [1.0, 2.0, 3.0]]
    assert near["max_url_count"] == [[], [0.0, 0.0, 0.0]]
    up_to_all = re.findall(r">([^<]*) %</text>", str(curves["max_url_count"].chart))
    assert up_to_all == ["0", "20", "40", "60", "80", "100"], "no more than all rows can be kept"


def test_a_summary_shows_shares_as_percentages_and_leaves_out_what_nothing_is_known_of(tmp_path: Path) -> None:
    given = tables(tmp_path, decontamination=[checked("quiz.jsonl", 2)], mix_summary=[summed("task", "")])
    evals, mix = summary_of(given, "decontamination"), summary_of(given, "mix_summary")
    assert evals is not None
    assert mix is not None
    assert evals.rows == [["quiz.jsonl", "40", "0", "2", "0", "0", "0.3", "2.5 %"]]
    assert [name for name, _ in evals.columns][-1] == "false_positive_rate"
    assert mix.rows[0][0] == "task · none given"
    assert summary_of({}, "mix_summary") is None


@pytest.mark.slow
def test_a_curation_gets_its_report_though_the_pipeline_has_none(tmp_path: Path) -> None:
    rows = [record(n) for n in range(5)]
    run = finished_run(tmp_path / "store", "may", {"conversations": rows, "unique": rows[:4], "mixture": rows[:4]})
    done = run_stages("run", "report", "--run", run, "--progress", "off")
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "store").glob("results/report/*/report/report.html")
    assert "<h1>may</h1>" in page.read_text(), "a page is headed by the name of its run"
    assert re.search(r'<section id="funnel">.*<b>5</b> conversations.*<b>4</b> mixture', page.read_text(), re.DOTALL)
