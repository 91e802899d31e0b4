from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows import conversation, table
from stages.filter.masking import POLICY_OF
from stages.filter.stage import FilterParams
from stages.filter.transform import transform
from stages.measures.filter_rules import RULES, Rule
from stages.schema import check_table, load_schema

POLICIES = list(POLICY_OF.values())
ALL_OFF = (
    {name: False if isinstance(field.default, bool) else None for name, field in FilterParams.model_fields.items()}
    | dict.fromkeys(POLICIES, "keep")
    | {"by_task": {}}
)
GOOD = {
    "prompt_chars": 40, "response_chars": 200, "response_words": 35, "repeated_trigram_share": 0.05,
    "answer_copies_prompt_share": 0.1, "symbol_share": 0.03, "digit_share": 0.0, "ends_unfinished": False,
    "refusal_phrase": None, "template_leak": None, "placeholder_input": False, "url_count": 0,
}  # fmt: skip


NULLABLE = {column.name for column in load_schema("rated").columns if column.nullable}


def rows(*signals: dict[str, Any]) -> pl.DataFrame:
    return table("rated", [conversation(str(n), "Ask", "Say") | GOOD | given for n, given in enumerate(signals)])


def verdict(signals: dict[str, Any], **params: Any) -> tuple[str, float, float] | None:
    """reason, value and threshold of one row, None where it is kept; every rule off but those in `params`."""
    made = transform(rows(signals), params=FilterParams(**ALL_OFF | params))
    assert made.kept.height + made.rejected.height == 1
    return None if made.kept.height else made.rejected.select("reason", "value", "threshold").row(0)


@pytest.mark.parametrize(
    ("signals", "params", "expected"),
    [
        ({"prompt_chars": 3}, {"min_prompt_chars": 4}, ("prompt_too_short", 3, 4)),
        ({"prompt_chars": 900}, {"max_prompt_chars": 800}, ("prompt_too_long", 900, 800)),
        ({"response_chars": 0}, {"min_response_chars": 1}, ("too_short", 0, 1)),
        ({"response_chars": 900}, {"max_response_chars": 899}, ("too_long", 900, 899)),
        ({"response_words": 2}, {"min_response_words": 3}, ("too_few_words", 2, 3)),
        ({"template_leak": "<|im_end|>"}, {"reject_template_leak": True}, ("template_leak", 1, 0)),
        ({"refusal_phrase": "As an AI,"}, {"reject_refusals": True}, ("refusal", 1, 0)),
        ({"placeholder_input": True}, {"reject_placeholder_input": True}, ("placeholder_input", 1, 0)),
        ({"ends_unfinished": True}, {"reject_unfinished": True}, ("unfinished", 1, 0)),
        ({"repeated_trigram_share": 0.9}, {"max_repeated_trigram_share": 0.8}, ("repetitive", 0.9, 0.8)),
        ({"symbol_share": 0.6}, {"max_symbol_share": 0.5}, ("too_many_symbols", 0.6, 0.5)),
        ({"digit_share": 0.6}, {"max_digit_share": 0.5}, ("too_many_digits", 0.6, 0.5)),
        ({"answer_copies_prompt_share": 1.0}, {"max_answer_copies_prompt_share": 0.9}, ("copies_prompt", 1.0, 0.9)),
        ({"url_count": 3}, {"max_url_count": 2}, ("too_many_urls", 3, 2)),
    ],
)
def test_each_rule_names_what_was_wrong_by_how_much_and_against_what(
    signals: dict[str, Any], params: dict[str, Any], expected: tuple[str, float, float]
) -> None:
    assert verdict(signals, **params) == expected
    assert verdict(signals) is None, "with the rule off the row is kept"
    assert verdict({}, **params) is None, "a good row passes the rule"


@pytest.mark.parametrize(
    ("signals", "params"),
    [
        ({"response_chars": 10}, {"min_response_chars": 10, "max_response_chars": 10}),
        ({"symbol_share": 0.5}, {"max_symbol_share": 0.5}),
    ],
)
def test_a_value_that_is_exactly_the_threshold_passes(signals: dict[str, Any], params: dict[str, Any]) -> None:
    assert verdict(signals, **params) is None


def test_none_turns_a_rule_off_and_zero_means_zero() -> None:
    assert verdict({"url_count": 1}, max_url_count=None) is None
    assert verdict({"url_count": 1}, max_url_count=0) == ("too_many_urls", 1, 0)
    assert verdict({"symbol_share": 0.01}, max_symbol_share=0) == ("too_many_symbols", 0.01, 0)


def test_a_signal_that_does_not_apply_passes() -> None:
    document = dict.fromkeys(["prompt_chars", "answer_copies_prompt_share", "ends_unfinished", "placeholder_input"])
    strict = {"min_prompt_chars": 10, "max_prompt_chars": 0, "max_answer_copies_prompt_share": 0.0}
    assert verdict({"prompt_chars": None}, min_prompt_chars=10) is None
    assert verdict(document, **strict, reject_unfinished=True, reject_placeholder_input=True) is None


def test_of_several_broken_rules_the_first_in_order_is_the_reason() -> None:
    bad = {"response_chars": 0, "refusal_phrase": "As an AI,", "symbol_share": 0.9}
    assert verdict(bad, max_symbol_share=0.5, reject_refusals=True, min_response_chars=1) == ("too_short", 0, 1)
    assert verdict(bad, max_symbol_share=0.5, reject_refusals=True) == ("refusal", 1, 0)


def test_the_defaults_keep_short_right_answers_and_reject_what_is_never_right() -> None:
    given = rows(
        {"response_chars": 1, "response_words": 1},
        {"response_chars": 1, "digit_share": 1.0},
        {"response_chars": 10, "response_words": 0, "symbol_share": 1.0},
        {"answer_copies_prompt_share": 1.0},
        {"response_chars": 0},
        {"refusal_phrase": "As an AI,"},
        {"template_leak": "### Instruction:"},
        {"repeated_trigram_share": 0.98},
    )
    made = transform(given, params=FilterParams())
    assert made.kept.equals(given.head(4))
    assert made.rejected["reason"].to_list() == ["too_short", "refusal", "template_leak", "repetitive"]
    assert made.rejected.select(given.columns).equals(given.tail(4)), "a rejected row is kept whole"


def test_with_every_rule_off_every_row_is_kept() -> None:
    given = rows({"response_chars": 0}, {"refusal_phrase": "As an AI,"})
    made = transform(given, params=FilterParams(**ALL_OFF))
    assert made.kept.equals(given)
    check_table(made.rejected, load_schema("rejected"), "rejected")


def test_there_is_one_rule_for_each_setting_in_the_same_order_and_the_schema_knows_its_reason() -> None:
    assert [*[rule.setting for rule in RULES], "by_task"] == list(FilterParams.model_fields)
    reasons = next(column.values for column in load_schema("rejected").columns if column.name == "reason")
    assert [rule.reason for rule in RULES] == list(reasons)


shares = st.floats(0, 1, allow_nan=False)


@given(
    st.lists(st.tuples(st.integers(0, 9), shares, st.none() | shares, st.booleans()), min_size=1, max_size=6),
    st.none() | st.integers(0, 9), st.none() | shares, st.none() | shares, st.booleans(),
)  # fmt: skip
def test_verdicts_are_those_of_a_plain_loop_over_the_rules(
    drawn: list[tuple[int, float, float | None, bool]],
    min_chars: int | None, max_symbols: float | None, max_copied: float | None, refusals: bool,
) -> None:  # fmt: skip
    def expected(chars: int, symbols: float, copied: float | None, refuses: bool) -> tuple[str, float, float] | None:
        if min_chars is not None and chars < min_chars:
            return "too_short", chars, min_chars
        if refusals and refuses:
            return "refusal", 1, 0
        if max_symbols is not None and symbols > max_symbols:
            return "too_many_symbols", symbols, max_symbols
        if max_copied is not None and copied is not None and copied > max_copied:
            return "copies_prompt", copied, max_copied
        return None

    signals = [
        {"response_chars": chars, "symbol_share": symbols, "answer_copies_prompt_share": copied,
         "refusal_phrase": "As an AI," if refuses else None}
        for chars, symbols, copied, refuses in drawn
    ]  # fmt: skip
    chosen = {"min_response_chars": min_chars, "max_symbol_share": max_symbols, "reject_refusals": refusals,
              "max_answer_copies_prompt_share": max_copied}  # fmt: skip
    made = transform(rows(*signals), params=FilterParams(**ALL_OFF | chosen))
    verdicts = [expected(*row) for row in drawn]
    assert made.rejected.select("reason", "value", "threshold").rows() == [v for v in verdicts if v]
    assert made.kept.height == verdicts.count(None)


def test_a_task_type_may_have_thresholds_of_its_own() -> None:
    given = rows(
        {"symbol_share": 0.5}, {"symbol_share": 0.5, "task_type": "code"}, {"symbol_share": 0.9, "task_type": "math"}
    )
    chosen = {
        "max_symbol_share": 0.4,
        "by_task": {"code": {"max_symbol_share": None}, "math": {"max_symbol_share": 0.8}},
    }
    made = transform(given, params=FilterParams(**ALL_OFF | chosen))
    assert made.kept["task_type"].to_list() == ["code"]
    assert made.rejected.select("value", "threshold").rows() == [(0.5, 0.4), (0.9, 0.8)]


def test_a_rule_may_be_on_for_one_task_type_alone() -> None:
    given = rows({"wrong_equation": "1 + 1 = 3"}, {"wrong_equation": "1 + 1 = 3", "task_type": "math"})
    made = transform(given, params=FilterParams(**ALL_OFF | {"by_task": {"math": {"reject_wrong_equations": True}}}))
    assert made.rejected.select("task_type", "reason").rows() == [("math", "wrong_equation")]


@pytest.mark.parametrize(
    ("by_task", "told"),
    [
        ({"poetry": {}}, "by_task.poetry"),
        ({"code": {"max_symbols": 1}}, "max_symbols"),
        ({"code": {"by_task": {}}}, "by_task"),
        ({"code": {"max_symbol_share": 1.5}}, "by_task.code.max_symbol_share"),
        ({"code": {"emails": "hide"}}, "by_task.code.emails"),
    ],
)
def test_a_value_for_a_task_type_is_checked_like_any_other(by_task: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FilterParams(by_task=by_task)


@pytest.mark.parametrize("rule", RULES, ids=[rule.reason for rule in RULES])
def test_every_rule_rejects_what_is_past_its_threshold_and_passes_what_was_not_measured(rule: Rule) -> None:
    [column] = rule.value.meta.root_names()
    dtype = load_schema("rated").dtypes[column]
    past: Any = {pl.String(): "found", pl.Boolean(): True, pl.Int64(): 5, pl.Float64(): 0.9}[dtype]
    on: Any = "reject" if rule.setting in POLICIES else True if rule.is_switch else 0.5 if dtype == pl.Float64() else 1
    if rule.is_lower_bound:
        past, on = (0.1, 0.5) if dtype == pl.Float64() else (0, 1)
    found = verdict({column: past}, **{rule.setting: on})
    assert found is not None
    assert found[0] == rule.reason
    if column in NULLABLE:
        assert verdict({column: None}, **{rule.setting: on}) is None
