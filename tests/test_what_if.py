"""What other thresholds would keep: the same as running the filter with them, and told without running it."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rows import conversation, row_id, sealed, table
from stages.__main__ import main
from stages.filter.stage import FilterParams
from stages.filter.transform import transform
from stages.measures.filter_rules import RULES
from stages.measures.what_if import by_rule, kept_curve, nearest_misses, newly_decided, outlook, token_rate

OFF = {name: None for name in FilterParams.model_fields if name.startswith(("min_", "max_"))} | {
    name: False for name in FilterParams.model_fields if name.startswith("reject_")
}
SIGNALS = {
    "prompt_chars": 40, "response_chars": 200, "response_words": 30, "repeated_trigram_share": 0.0,
    "answer_copies_prompt_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0, "task_type": "chat",
}  # fmt: skip

RULE_OF = {rule.setting: rule for rule in RULES}


def records(*signals: dict[str, Any]) -> list[dict[str, Any]]:
    return [conversation(str(n), f"Ask {n}", f"Say {n}") | SIGNALS | own for n, own in enumerate(signals)]


def rows(*signals: dict[str, Any]) -> pl.LazyFrame:
    return table("rated", records(*signals)).lazy()


def params(**chosen: Any) -> FilterParams:
    return FilterParams(**OFF | chosen)


def shares(*values: float) -> pl.LazyFrame:
    return rows(*({"symbol_share": value} for value in values))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.sampled_from(["chat", "code", None])), max_size=12),
    st.none() | st.floats(0, 1),
    st.none() | st.integers(0, 60),
    st.booleans(),
)
def test_the_outlook_is_what_the_filter_does(
    drawn: list[tuple[float, int, str | None]], symbols: float | None, words: int | None, spare_code: bool
) -> None:
    given_rows = rows(*({"symbol_share": s, "response_words": w, "task_type": t} for s, w, t in drawn))
    by_task = {"code": {"max_symbol_share": None}} if spare_code else {}
    chosen = params(max_symbol_share=symbols, min_response_words=words, by_task=by_task)
    made = transform(given_rows.collect(), params=chosen)
    found = outlook(given_rows, chosen, token_rate(given_rows))
    assert (found.rows, found.kept) == (len(drawn), made.kept.height)
    assert found.reasons == dict(made.rejected.group_by("reason").len().rows())
    assert found.tokens == len(drawn) * 60
    assert found.kept_tokens == made.kept.height * 60
    assert sum(rows_ for rows_, _ in found.tasks.values()) == len(drawn)
    assert found.kept_mean_words == (made.kept["response_words"].mean() if made.kept.height else None)


def test_keeping_the_long_answers_shows_as_a_bias() -> None:
    given_rows = rows(*({"response_words": words} for words in range(1, 9)))
    fair, biased = (outlook(given_rows, params(min_response_words=n), token_rate(given_rows)) for n in (None, 5))
    assert (fair.length_auc, biased.length_auc) == (None, 1.0)
    assert (biased.mean_words, biased.kept_mean_words) == (4.5, 6.5)


def test_tokens_are_measured_where_examples_are_known() -> None:
    given_rows = rows({"response_chars": 60}, {"response_chars": 460})
    examples = pl.LazyFrame({"row_id": [row_id("0"), row_id("0")], "input_ids": [[1] * 15, [1] * 5]})
    rate = token_rate(given_rows, examples)
    assert rate == (100 / 20, True)
    assert outlook(given_rows, params(), rate).tokens == (100 + 500) / 5


def test_the_nearest_misses_lie_on_both_sides_of_the_threshold() -> None:
    rule, chosen = RULE_OF["max_symbol_share"], params(max_symbol_share=0.5)
    found = nearest_misses(shares(0.1, 0.4, 0.5, 0.6, 0.9), rule, chosen, 2)
    assert found.select("is_rejected", "value").rows() == [(True, 0.6), (True, 0.9), (False, 0.5), (False, 0.4)]
    assert found["text"].to_list()[0] == "Ask 3 -> Say 3"


def test_a_switch_has_no_near_side_and_a_rule_that_is_off_no_misses() -> None:
    given_rows = rows({"refusal_phrase": "As an AI,"}, {})
    refusals = RULE_OF["reject_refusals"]
    assert nearest_misses(given_rows, refusals, params(reject_refusals=True))["is_rejected"].to_list() == [True]
    assert nearest_misses(given_rows, refusals, params()).is_empty()


def test_each_rule_is_told_by_itself() -> None:
    given_rows = rows({"symbol_share": 0.9, "response_words": 1}, {"symbol_share": 0.9})
    found = by_rule(given_rows, params(max_symbol_share=0.5, min_response_words=3))
    assert {told.rule.reason: told.rejected for told in found} == {"too_few_words": 1, "too_many_symbols": 2}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=10), st.booleans())
def test_the_curve_is_what_the_rule_keeps_at_each_threshold(drawn: list[float], lower: bool) -> None:
    setting = "min_ifd_length_rank" if lower else "max_symbol_share"
    column = "ifd_length_rank" if lower else "symbol_share"
    given_rows = rows(*({column: value} for value in drawn))
    for threshold, kept, share in kept_curve(given_rows, RULE_OF[setting]).rows():
        made = transform(given_rows.collect(), params=params(**{setting: threshold}))
        assert (kept, share) == (made.kept.height, pytest.approx(made.kept.height / len(drawn)))


def test_rows_that_change_sides_are_quoted() -> None:
    given_rows = rows({"symbol_share": 0.1}, {"symbol_share": 0.6, "response_words": 40})
    found = newly_decided(given_rows, params(max_symbol_share=0.5), params(min_response_words=31), 5)
    assert [found[side]["row_id"].to_list() for side in ("rejected", "kept")] == [[row_id("0")], [row_id("1")]]
    assert found["kept"].select("reason", "value", "threshold").rows() == [("too_many_symbols", 0.6, 0.5)]


def test_rows_are_quoted_without_private_data() -> None:
    told = conversation("p", f"{'x' * 50} jane.doe@mail.tessmere.example", "Say") | SIGNALS
    (text,) = nearest_misses(
        table("rated", [told]).lazy(), RULE_OF["min_response_chars"], params(min_response_chars=9)
    )["text"]
    assert text == f"{'x' * 50} [EMAIL] -> Say"


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given_rows = [{"symbol_share": 0.1}, {"symbol_share": 0.6}, {"refusal_phrase": "As an AI,"}]
    folder = sealed(tmp_path / "rated", "rated", records(*given_rows))
    assert main(["whatif", "filter", "--input", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "2 of 3 rows kept" in told
    assert "reject_refusals" in told
    assert main(["whatif", "filter", "--input", str(folder), "--set", "max_symbol_share=0.5"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[1].split() == ["rows", "kept", "2", "1", "-1"]
    assert "too_many_symbols 0.6 (0.5)  Ask 1 -> Say 1" in told
    assert list(tmp_path.iterdir()) == [folder], "nothing was run or written"


def test_a_threshold_without_a_value_in_any_row_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sealed(tmp_path / "rated", "rated", records({"longest_character_run": 1}, {}))
    assert main(["whatif", "filter", "--input", str(folder), "--set", "max_ifd=1", "--set", "max_url_count=3"]) == 0
    told = capsys.readouterr().out
    assert "no row has a value for max_ifd: nothing is rejected by it" in told
    assert main(["whatif", "filter", "--input", str(folder)]) == 0
    assert "no row has a value" not in capsys.readouterr().out


def test_a_misspelt_setting_is_refused_with_the_names_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sealed(tmp_path / "rated", "rated", records({}))
    assert main(["whatif", "filter", "--input", str(folder), "--set", "max_symbols=1"]) == 78
    assert "filter.max_symbols is no parameter" in capsys.readouterr().err
    assert main(["whatif", "filter", "--input", str(tmp_path / "absent")]) == 64
