import re
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from report_tables import HOSTILE, curated, trained
from rows import conversation, row_id, sealed
from stages.report.funnel import DECISIONS
from stages.report.job import run
from stages.report.page import SECTIONS
from stages.report.stage import STAGE, ReportParams
from workbench import lend

Given = dict[str, Path]


@pytest.fixture(scope="module")
def given() -> Iterator[Given]:
    with tempfile.TemporaryDirectory() as folder:
        yield curated(Path(folder)) | trained(Path(folder))


def page_of(given: Given, tmp_path: Path, **params: Any) -> str:
    """The page about `given`, which the job wrote."""
    report = tmp_path / f"report-{len(list(tmp_path.iterdir()))}"
    report.mkdir()
    facts = run(**given, report=report, params=ReportParams(**params), workbench=lend(tmp_path / "scratch"))
    assert [path.name for path in report.iterdir()] == ["report.html"]
    assert facts["bytes"] == (report / "report.html").stat().st_size
    return (report / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """The tags of a page with their attributes, and the text of each element that has a given class."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def text_of(page: str) -> str:
    """What stands on the page: no style, no charts, no tags, single spaces."""
    return " ".join(re.sub(r"<(style|svg)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def sections_of(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page)


def test_every_section_is_there_when_every_table_is(given: Given, tmp_path: Path) -> None:
    assert set(given) == set(STAGE.optional_inputs)
    page = page_of(given, tmp_path, title="Towns & rivers")
    assert sections_of(page) == list(SECTIONS)
    assert "<h1>Towns &amp; rivers</h1>" in page


@pytest.mark.parametrize(
    ("tables", "sections"),
    [
        ((), []),
        (("training_log",), ["training"]),
        (("scored",), ["thresholds", "signals"]),
        (("rejected",), ["reasons"]),
        (("examples",), ["funnel", "tokens"]),
        (("kept", "rejected", "verdict"), ["funnel", "spreads", "makeups", "reasons", "gates"]),
        (("conversations", "unique", "generations"), ["funnel", "sources", "spreads", "makeups", "answers"]),
    ],
)
def test_a_section_whose_tables_are_absent_is_left_out(
    given: Given, tmp_path: Path, tables: tuple[str, ...], sections: list[str]
) -> None:
    assert sections_of(page_of({name: given[name] for name in tables}, tmp_path)) == sections


def test_tables_without_rows_leave_a_page_without_claims(tmp_path: Path) -> None:
    empty = {name: sealed(tmp_path / "in" / name, name, []) for name in STAGE.optional_inputs}
    page = page_of(empty, tmp_path)
    assert not {"reasons", "training", "evaluation", "answers", "version", "gates"} & set(sections_of(page))
    assert "0 in, all accounted for" in text_of(page)


def test_the_funnel_counts_what_was_kept_and_set_aside_and_says_that_it_balances(given: Given, tmp_path: Path) -> None:
    text = text_of(page_of(given, tmp_path))
    told = text[text.index("What each stage let through") : text.index("What came in from each source")]
    assert "ingest 120 conversations 2 quarantined from 4 files files unreadable: 1" in told
    assert "108 unique 12 duplicates ✓ 120 in, all accounted for near duplicate 12" in told
    assert "104 kept 4 rejected ✓ 108 in, all accounted for" in told
    assert "94 examples 3 refused ✓ 97 in, all accounted for" in told, "an unrolled conversation counts once"
    assert "does not balance" not in told


def test_rows_that_are_unaccounted_for_are_shouted_about(given: Given, tmp_path: Path) -> None:
    rows = pl.read_parquet(given["rejected"] / "*.parquet").head(1)
    fewer = given | {"rejected": sealed(tmp_path / "rejected", "rejected", rows.to_dicts())}
    assert "✗ does not balance: 108 in, 3 unaccounted for" in text_of(page_of(fewer, tmp_path))


def test_each_source_shows_what_came_in_and_what_is_left(given: Given, tmp_path: Path) -> None:
    text = text_of(page_of(given, tmp_path))
    left = pl.read_parquet(given["examples"] / "*.parquet").unique("row_id").filter(source="dolly").height
    tokens = pl.read_parquet(given["examples"] / "*.parquet").filter(source="dolly")["input_ids"].list.len().sum()
    aside = [
        rows_from(given[name], "dolly") for name in ("duplicates", "rejected", "contaminated", "left_out", "refused")
    ]
    told = " ".join(map(str, [40, 1, *aside, left]))
    assert sum(aside) + left == 40
    assert f"dolly {told} {100 * left / 40:.1f} % {tokens:,}" in text
    assert "csv 0 1 0 0 0 0 0 0 0.0 % 0" in text
    assert "all sources 120 2 12 4 2 5 3 94 78.3 %" in text


def rows_from(table: Path, source: str) -> int:
    return pl.read_parquet(table / "*.parquet").filter(source=source).height


def test_a_reason_is_shown_with_its_first_rows_where_they_came_from_and_what_was_found(
    given: Given, tmp_path: Path
) -> None:
    text = text_of(page_of(given, tmp_path))
    refused = row_id("town 5")
    assert (
        f"sharegpt · sharegpt.jsonl record 5 {refused} refusal phrase As an AI language model, task type chat value 1 threshold 0"
        in text
    )
    assert "detail 700 tokens of at most 512" in text
    assert "byte offset 8,111 field context found 17 expected a string fix quote it" in text


@pytest.mark.parametrize("examples", [0, 1, 4])
def test_no_more_rows_are_quoted_than_asked_for(given: Given, tmp_path: Path, examples: int) -> None:
    page = page_of({"left_out": given["left_out"]}, tmp_path, examples_per_reason=examples)
    first = pl.read_parquet(given["left_out"] / "*.parquet")["row_id"].sort().head(examples)
    assert re.findall(r"<code>(\w+)</code>", page) == first.to_list()


def test_a_duplicate_stands_beside_the_row_that_stays(given: Given, tmp_path: Path) -> None:
    gone, stays = (given[name] for name in ("duplicates", "unique"))
    pair = pl.read_parquet(gone / "*.parquet").sort("similarity").select("row_id", "survivor_id").row(0)
    page = page_of({"duplicates": gone, "unique": stays}, tmp_path, examples_per_reason=1)
    assert re.findall(r"<code>(\w+)</code>", page) == list(pair)
    assert "survivor id" not in page
    assert f"survivor id {pair[1]}" in text_of(page_of({"duplicates": gone}, tmp_path, examples_per_reason=1))


def test_a_long_text_is_quoted_from_its_beginning_and_says_how_much_more_there_is(tmp_path: Path) -> None:
    row = conversation("a", "Ask", "x" * 1000) | {"reason": "over_source_cap"}
    signals = {"response_chars": 1000, "response_words": 1, "url_count": 0, "repeated_trigram_share": 0.0,
               "symbol_share": 0.0, "digit_share": 0.0}  # fmt: skip
    left_out = sealed(tmp_path / "left_out", "left_out", [row | signals])
    page = page_of({"left_out": left_out}, tmp_path, excerpt_chars=50)
    assert re.search(r"(?<!x)x{50}(?!x)", page)
    assert "950 more characters" in page


def test_the_page_is_safe_and_needs_nothing_from_outside(given: Given, tmp_path: Path) -> None:
    page = page_of(given, tmp_path, title=f"Towns {HOSTILE}"[:120], excerpt_chars=2000)
    tags = Elements(page).tags
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in tags}
    attributes = [(name, value) for _, found in tags for name, value in found.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "srcset", "style", "action")]
    anchors = {value for name, value in attributes if name == "id"}
    assert {value for name, value in attributes if name == "href"} <= {f"#{anchor}" for anchor in anchors}
    assert "@import" not in page
    assert "url(" not in page
    assert not set(page) & {chr(code) for code in range(32)} - {"\n", "\t"}, "control characters are shown by pictures"
    assert "␀␛[31m [U+202E]reversed" in page


def test_no_id_stands_twice(given: Given, tmp_path: Path) -> None:
    ids = [found["id"] for _, found in Elements(page_of(given, tmp_path)).tags if "id" in found]
    assert len(ids) == len(set(ids))


def test_equal_rows_give_an_equal_page_however_they_lie_in_files(given: Given, tmp_path: Path) -> None:
    moved = {}
    for name, folder in given.items():
        moved[name] = tmp_path / "moved" / name
        moved[name].mkdir(parents=True)
        rows = pl.read_parquet(folder / "*.parquet")
        for number, part in enumerate(rows.iter_slices(max(1, rows.height // 3))):
            part.write_parquet(moved[name] / f"part-{number:05d}.parquet")
    page = page_of(given, tmp_path)
    assert page == page_of(given, tmp_path)
    assert page == page_of(moved, tmp_path)
    assert str(tmp_path) not in page
    assert str(given["unique"].parent) not in page


def test_token_counts_are_told_by_split(given: Given, tmp_path: Path) -> None:
    examples = pl.read_parquet(given["examples"] / "*.parquet")
    tokens = examples.group_by("split").agg(pl.len(), pl.col("input_ids").list.len().sum()).sort("split")
    text = text_of(page_of({"examples": given["examples"]}, tmp_path))
    assert "47 last answers of long conversations were left out" in text
    for split, rows, total in tokens.rows():
        repeated = f", an epoch {2 * total:,}" if split == "train" else ""
        longest = examples.filter(split=split)["input_ids"].list.len().max()
        told = f"{split} longest {longest}{repeated} {rows} {total:,} {rows * 4} {100 * rows * 4 / total:.1f} %"
        assert told in text


def test_the_loss_curve_tells_where_it_began_ended_and_was_lowest(given: Given, tmp_path: Path) -> None:
    page = page_of({"training_log": given["training_log"]}, tmp_path)
    log = pl.read_parquet(given["training_log"] / "*.parquet").sort("step")
    lowest = log["validation_loss"].min()
    assert f"{log['loss'][0]:.4g} → {log['loss'][-1]:.4g}, lowest validation loss {lowest:.4g} at step 400" in text_of(
        page
    )
    assert page.count('<circle class="dot validation"') == 10


def test_rates_are_percentages_and_losses_numbers_with_their_intervals(given: Given, tmp_path: Path) -> None:
    text = text_of(page_of({"evaluation": given["evaluation"]}, tmp_path))
    assert "held out loss n = 100 3.91 3.85 – 3.97 1.42 1.36 – 1.48 held out loss dolly · n = 100 4.2" in text
    assert "stop rate n = 100 1.0 % 98.0 %" in text


def test_answers_stand_side_by_side_and_say_whether_they_stopped(given: Given, tmp_path: Path) -> None:
    text = text_of(page_of({"generations": given["generations"]}, tmp_path, generations_shown=1))
    assert "What is the capital of Orvale? base · ✗ did not stop The capital of Orvale is" in text
    assert "tuned · ✓ stopped Tessmere. Reference Tessmere." in text
    assert "Name two rivers." not in text


def test_the_version_and_the_verdict_of_the_gates_are_told(given: Given, tmp_path: Path) -> None:
    text = text_of(page_of({name: given[name] for name in ("model_version", "verdict")}, tmp_path))
    assert "name towns version 3 uri models:/towns/3" in text
    assert "It was not promoted." in text
    assert (
        "stops reliably ✗ not passed 88 of 100 answers ended by themselves this version 88.0 % champion – bound 90.0 %"
        in text
    )


def test_the_funnel_knows_every_deciding_stage_of_the_pipeline() -> None:
    from stages.pipeline import CURATION

    declared = [(stage.name, stage.keeps, stage.sets_aside) for stage in CURATION if stage.sets_aside]
    told = [(decision.stage, decision.keeps, decision.sets_aside) for decision in DECISIONS if decision.reads]
    assert told == declared
