"""The report in a real browser: on a desk and on a phone, in the light and in the dark, with rows that mean harm."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import find_browser, measure, screenshot, share_of
from curated_run import filled
from report_tables import HOSTILE, curated, trained
from rows import conversation, sealed
from stages.report.job import run
from stages.report.stage import ReportParams
from workbench import lend

pytestmark = pytest.mark.slow
LIGHT, DARK = {"paper": "#fbfbf9", "kept": "#0f766e"}, {"paper": "#12161a", "kept": "#35b8a9"}
STACKED = "Z" + "\u0301\u0316" * 300  # marks above and below one letter, hundreds of lines high
WIDE = "W" * 1_000_000


@pytest.fixture(scope="module")
def page() -> Iterator[Path]:
    find_browser()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = curated(folder) | trained(folder)
        texts = (HOSTILE * 20, WIDE, STACKED, "\u202e\u2066" * 200, "<td></table></main>" * 50)
        rows = [
            conversation(f"bad {n}", text, text) | {"file": text[:300], "source": text[:80]}
            for n, text in enumerate(texts)
        ]
        given["left_out"] = sealed(folder / "out", "left_out", filled("left_out", rows))
        faults = {"reason": "wrong_type", "found": WIDE, "field": HOSTILE}
        given["conversations"] = sealed(folder / "more", "conversations", rows)
        given["quarantined"] = sealed(
            folder / "bad", "quarantined", [{"source": WIDE[:300], "file": "a", "record": 1, **faults}]
        )
        (folder / "report").mkdir()
        params = ReportParams(title="W" * 120, excerpt_chars=2000)
        run(**given, report=folder / "report", params=params, workbench=lend(folder / "scratch"))
        yield folder / "report" / "report.html"


@pytest.mark.parametrize("width", [360, 390, 768, 1200])
def test_nothing_sticks_out_sideways_and_nothing_is_too_small_to_read(page: Path, tmp_path: Path, width: int) -> None:
    measured = measure(page, width, tmp_path)
    assert measured["sticking_out"] == []
    assert measured["width"] == width
    assert measured["smallest_font_px"] >= 11


@pytest.mark.parametrize(("width", "is_paper"), [(360, False), (390, False), (1200, False), (700, True)])
def test_no_table_is_wider_than_its_card_whatever_names_are_in_it(
    page: Path, tmp_path: Path, width: int, is_paper: bool
) -> None:
    """On paper nobody can scroll: what is cut off is lost."""
    shown = tmp_path / "shown.html"
    text = page.read_text(encoding="utf-8")
    shown.write_text(text.replace("@media print", "@media all") if is_paper else text, encoding="utf-8")
    assert measure(shown, width, tmp_path)["cut_off"] == []


@pytest.mark.parametrize(("dark", "palette"), [(False, LIGHT), (True, DARK)])
@pytest.mark.parametrize("size", [(390, 1600), (1200, 1600)])
def test_it_looks_as_it_should(
    page: Path, tmp_path: Path, size: tuple[int, int], dark: bool, palette: dict[str, str]
) -> None:
    pixels = screenshot(page, size, tmp_path, dark=dark)
    assert pixels.shape == (size[1], size[0], 3)
    assert share_of(pixels, palette["paper"]) > 0.2, "the page's own background, with room around the cards"
    assert share_of(pixels, palette["kept"]) > 0.01, "the bars of the funnel are drawn"
    bands = pixels.reshape(8, size[1] // 8, size[0], 3)
    assert all(band.std() > 3 for band in bands), "no stretch of the page is blank"


def test_a_million_characters_and_hostile_marks_leave_the_page_small_and_without_scripts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 2_000_000
    assert "<script" not in text
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200e\u200f]", text), "no text changes the writing direction"
    assert "Content-Security-Policy" in text
