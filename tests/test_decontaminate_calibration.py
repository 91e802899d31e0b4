"""How alike a row must be to an item: held so that few rows known clean are flagged, measured and said."""

from pathlib import Path

import numpy as np
import pytest

from decontaminated import decontaminated
from rows import table
from shared_data import shared_data
from stages.decontaminate.calibration import calibrate
from stages.decontaminate.similarity import LEAST_SCORE
from stages.errors import ConfigError
from stages.raw_files.source_files import list_source_files
from test_decontaminate_rephrasings import ITEMS, PROBLEMS, TASKS, row, run


def test_a_question_that_a_file_asks_twice_is_no_mistake(tmp_path: Path) -> None:
    twice = [
        {"question": item, "answer": f"It is {word}."}
        for (item, other, _), word in zip(PROBLEMS, ["iron", "wood", "clay", "salt", "wool", "tin"], strict=True)
        for item in (item, other)
    ]
    others = [{"question": text, "answer": f"{i} and {i + 7}."} for i, (_, _, text) in enumerate(PROBLEMS)]
    tasks = [{"question": task, "answer": "An essay."} for task, _ in TASKS]
    alike = run(tmp_path / "alike", [], [*twice, *others, *tasks]).decontamination
    differing = [{**record, "answer": f"{record['answer']} {i * 11}"} for i, record in enumerate(twice)]
    unlike = run(tmp_path / "unlike", [], [*differing, *others, *tasks]).decontamination
    assert alike["least_score"][0] < unlike["least_score"][0]


def test_sources_known_clean_are_measured_and_raise_the_score_that_is_needed(tmp_path: Path) -> None:
    rows = [row(f"r{i}", text, "Well.", source="clean") for i, (_, text, _) in enumerate(PROBLEMS)]
    made = run(tmp_path, [*rows, row("x", "Hi", "Hello", source="other")], ITEMS, known_clean=["clean"])
    assert made.contaminated.is_empty()
    measured = made.decontamination.select("known_clean_rows", "known_clean_flagged").row(0)
    assert measured == (len(PROBLEMS), 0)
    with pytest.raises(ConfigError, match="known_clean names nowhere, and no row is from there; the sources are clean"):
        run(tmp_path / "again", rows, ITEMS, known_clean=["nowhere"])


def test_a_set_made_from_one_template_does_not_flag_every_row_of_that_kind(tmp_path: Path) -> None:
    towns = [
        "Ulm",
        "Bern",
        "Graz",
        "Metz",
        "Cork",
        "Nara",
        "Lodz",
        "Pune",
        "Oslo",
        "Suva",
        "Riga",
        "Baku",
        "Hue",
        "Agra",
    ]
    asked = [
        f"Which old market square of {town} {rest}?"
        for town in towns
        for rest in ("has a fountain", "is paved", "lies low")
    ]
    rows = [
        row(f"r{i}", f"Tell me which old market square of {name} has a well.", "Ours.")
        for i, name in enumerate("ABCDEF")
    ]
    made = run(tmp_path, rows, [{"question": text} for text in asked])
    assert made.contaminated.is_empty()
    [rate] = made.decontamination["false_positive_rate"].to_list()
    assert rate <= 0.1


def test_so_few_items_are_alike_that_one_more_of_their_kind_is_flagged_with_a_chance_of_the_rate() -> None:
    alike = np.linspace(0, 0.4, 199)
    found = calibrate({"a.jsonl": alike}, {}, 0.01, sure_score=0.45)["a.jsonl"]
    assert (alike >= found.least_score).sum() == 1  # 1 of 199, and the next of 200 would be the second
    assert found.false_positive_rate == pytest.approx(1 / 199)
    assert found.highest_rate == pytest.approx(0.0279, abs=1e-4)  # Wilson's, of 1 in 199
    few = calibrate({"a.jsonl": alike[100:]}, {}, 0.01, sure_score=0.45)["a.jsonl"]
    assert (alike >= few.least_score).sum() == 0  # of 99 none may be flagged
    capped = calibrate({"a.jsonl": alike}, {}, 0.01, sure_score=0.36)["a.jsonl"]
    assert capped.least_score == 0.36
    assert capped.false_positive_rate == pytest.approx((alike >= 0.36).mean())  # more than the rate, and said


def test_a_question_that_a_file_asks_twice_word_by_word_is_no_mistake(tmp_path: Path) -> None:
    longer = [{"question": f"{item} Say it in words.", "answer": f"{i}{i}"} for i, (item, _, _) in enumerate(PROBLEMS)]
    others = [{"question": text, "answer": f"{i + 7}0"} for i, (_, _, text) in enumerate(PROBLEMS)]
    items = [*({"question": item, "answer": f"{i}5"} for i, (item, _, _) in enumerate(PROBLEMS)), *longer, *others]
    found = run(tmp_path, [], items).decontamination
    assert found["least_score"].to_list() == [LEAST_SCORE]


@pytest.mark.parametrize(
    "name", ["arc_easy.jsonl", "HumanEval.jsonl.gz", "ifeval_input_data.jsonl", "mt_bench_question.jsonl"]
)
def test_the_estimate_of_false_positives_keeps_to_the_rate_on_real_sets(name: str) -> None:
    evals = list_source_files([shared_data(f"eval/{name}")])
    made = decontaminated(table("kept", [row("a", "Hi", "Hello")]), evals)
    [(score, rate, high)] = made.decontamination.select(
        "least_score", "false_positive_rate", "false_positive_rate_high"
    ).rows()
    assert rate <= 0.01
    assert made.told == [
        f"items in other words: of the items of {name} {rate:.2%} would be flagged by mistake (95 % sure: at most "
        f"{high:.2%}), of no other file more"
    ]
    assert score < 0.45  # else the estimate would be that of a score which is capped
