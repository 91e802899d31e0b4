"""Items that stand in a row nearly word by word, or as a program would write them."""

from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from stages.decontaminate.readings import with_readings
from test_decontaminate import LONG, MIDDLE, eval_files, row, runs_flagged

NEARLY = [
    "Name the three rivers that meet below the old.",
    "Three rivers that meet below the old bridge.",
    "Name the three rivers which meet below the old bridge.",
    "Name the three rivers that meet below old bridge.",
    "Name the three great rivers that meet below the old bridge.",
]
OTHERS = [
    "Name the three rivers that we have crossed on our way to the sea.",
    "Name three bridges. Then tell me of the rivers that meet.",
    "Below the old bridge rivers meet that name the three.",
]


def test_an_item_with_a_word_changed_or_cut_off_is_found_anywhere_and_what_says_half_of_it_is_not(
    tmp_path: Path,
) -> None:
    rows = [row(f"near {i}", "Say something.", f"Well: {text} Thanks.") for i, text in enumerate(NEARLY)]
    rows += [row(f"other {i}", text, "Well.") for i, text in enumerate(OTHERS)]
    found = runs_flagged(rows, eval_files(tmp_path, {"question": MIDDLE}))
    assert {name: verdict["reason"] for name, verdict in found.items()} == {
        f"near {i}": "eval_ngram" for i in range(len(NEARLY))
    }
    assert found["near 2"]["evidence"] == "meet below the old bridge"  # the longer side of what was changed
    assert runs_flagged(rows, eval_files(tmp_path, {"question": MIDDLE}), min_overlap=1.0).keys() == {"near 4"}


def test_a_question_about_another_thing_is_no_copy_with_a_word_changed(tmp_path: Path) -> None:
    rows = [row(name, f"What is the capital of {name}?", "A town.") for name in ("Atlantis", "Lemuria")]
    assert set(runs_flagged(rows, eval_files(tmp_path, {"question": "What is the capital of Atlantis?"}))) == {
        "Atlantis"
    }


def test_an_answer_is_found_without_the_sums_that_are_marked_in_it(tmp_path: Path) -> None:
    answer = "The boat earns 9*4=$<<9*4=36>>36 with goats and 2*7=$<<2*7=14>>14 with priests, so it earns 36+14=$<<36+14=50>>50."
    rows = [
        row("bare", "Solve it.", answer.replace("<<9*4=36>>", "").replace("<<2*7=14>>", "").replace("<<36+14=50>>", ""))
    ]
    assert set(runs_flagged(rows, eval_files(tmp_path, {"question": "So?", "answer": answer}))) == {"bare"}


@pytest.mark.parametrize(
    "written",
    [
        LONG.replace("A ferry ", "A <b>ferry</b> ").replace(" on the way. ", "<br>on&nbsp;the way.</p>\n<p>"),
        LONG.replace("carries", "car-\nries").replace("lemons", "lem-\n> ons"),
        LONG.replace("goats", "_goats_").replace("crate", r"\textit{crate}"),
        quote(LONG),
        LONG.replace("a", "\N{CYRILLIC SMALL LETTER A}").replace("o", "\N{GREEK SMALL LETTER OMICRON}"),
    ],
)
def test_an_item_is_found_as_html_across_broken_lines_in_markup_in_a_link_and_in_letters_that_look_alike(
    tmp_path: Path, written: str
) -> None:
    evals = eval_files(tmp_path, {"question": LONG})
    assert [found["overlap"] for found in runs_flagged([row("a", written, "x")], evals).values()] == [1.0]
    swapped = eval_files(tmp_path / "swapped", {"question": written})
    assert [found["overlap"] for found in runs_flagged([row("a", LONG, "x")], swapped).values()] == [1.0]


def test_a_text_with_nothing_to_read_stays_as_it_is() -> None:
    texts = ["Is 3 < 4 & 5 > 2?", "a_b = c*d", "\N{CYRILLIC SMALL LETTER DE}\N{CYRILLIC SMALL LETTER A}, yes"]
    assert with_readings(pl.Series(texts)).to_list() == texts
