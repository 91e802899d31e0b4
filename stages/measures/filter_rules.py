"""The rules of the filter in the order in which they are tried: the first that a row breaks is its reason.

`filter`, the what-if tables and the report read the same rules. A new signal gets a rule with one line here, a setting
of the same place in `FilterParams` and a reason in schemas/rejected.yaml.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import polars as pl


class Settings(Protocol):
    """The parameters of `filter`."""

    @property
    def by_task(self) -> Mapping[Any, Mapping[str, Any]]: ...

    def for_task(self, task: str) -> Any: ...


class StatedSettings:
    """The parameters of `filter` from their names and values, for those who only tell about them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {rule.setting: values.get(rule.setting) for rule in RULES}
        self.by_task: Mapping[str, Mapping[str, Any]] = values.get("by_task", {})

    def __getattr__(self, name: str) -> Any:
        return self.values[name]

    def for_task(self, task: str) -> "StatedSettings":
        """The values for the rows of one task type."""
        return StatedSettings({**self.values, **self.by_task.get(task, {})})


class Rule(NamedTuple):
    """`value` may not pass `setting`: may not lie below it for `min_…`, nor above it for the others.

    A rule that `reject_…` or a policy of `reject` turns on holds a count, or 1.0 for a signal that is there, against
    a threshold of 0.0. A null value passes.
    """

    reason: str
    setting: str
    value: pl.Expr

    @property
    def is_lower_bound(self) -> bool:
        return self.setting.startswith("min_")

    @property
    def is_switch(self) -> bool:
        """On or off: there is no number between."""
        return not self.setting.startswith(("min_", "max_"))

    def threshold(self, params: object) -> float | None:
        """None where `params` turns the rule off; the values for single task types are not looked at."""
        stated = getattr(params, self.setting)
        if isinstance(stated, bool | str):
            return 0.0 if stated in (True, "reject") else None
        return None if stated is None else float(stated)

    def thresholds(self, params: Settings) -> pl.Expr:
        """The threshold of each row, by its task type; null where the rule is off."""
        found = pl.lit(self.threshold(params), pl.Float64)
        for task in params.by_task:
            own = pl.lit(self.threshold(params.for_task(task)), pl.Float64)
            found = pl.when(pl.col("task_type").eq_missing(pl.lit(task))).then(own).otherwise(found)
        return found

    def is_on(self, params: Settings) -> bool:
        """Whether the rule may reject any row."""
        return bool(self.stated(params))

    def stated(self, params: Settings) -> list[float]:
        """Its thresholds, of all task types, each once."""
        every = [params, *(params.for_task(task) for task in params.by_task)]
        return sorted({limit for values in every if (limit := self.threshold(values)) is not None})

    def broken(self, threshold: pl.Expr) -> pl.Expr:
        """Whether a row's value passes its threshold."""
        passes = (self.value < threshold) if self.is_lower_bound else (self.value > threshold)
        return passes.fill_null(value=False)


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64)


def _present(column: str) -> pl.Expr:
    """1.0 where the signal found something, 0.0 where it did not."""
    return pl.col(column).is_not_null().cast(pl.Float64)


RULES = (
    Rule("prompt_too_short", "min_prompt_chars", _number("prompt_chars")),
    Rule("prompt_too_long", "max_prompt_chars", _number("prompt_chars")),
    Rule("too_short", "min_response_chars", _number("response_chars")),
    Rule("too_long", "max_response_chars", _number("response_chars")),
    Rule("too_few_words", "min_response_words", _number("response_words")),
    Rule("template_leak", "reject_template_leak", _present("template_leak")),
    Rule("merged_instruction", "reject_merged_instructions", _present("merged_instruction")),
    Rule("refusal", "reject_refusals", _present("refusal_phrase")),
    Rule("knowledge_cutoff", "reject_knowledge_cutoff", _present("knowledge_cutoff")),
    Rule("placeholder_input", "reject_placeholder_input", _number("placeholder_input")),
    Rule("missing_text", "reject_missing_text", _present("missing_text")),
    Rule("unfinished", "reject_unfinished", _number("ends_unfinished")),
    Rule("unclosed_code_fence", "reject_unclosed_code_fence", _number("unclosed_code_fence")),
    Rule("repetitive", "max_repeated_trigram_share", _number("repeated_trigram_share")),
    Rule("repeated_bigrams", "max_repeated_bigram_share", _number("repeated_bigram_share")),
    Rule("repeated_fourgrams", "max_repeated_fourgram_share", _number("repeated_fourgram_share")),
    Rule("top_bigram", "max_top_bigram_share", _number("top_bigram_share")),
    Rule("top_trigram", "max_top_trigram_share", _number("top_trigram_share")),
    Rule("top_fourgram", "max_top_fourgram_share", _number("top_fourgram_share")),
    Rule("repeated_lines", "max_repeated_line_share", _number("repeated_line_share")),
    Rule("repeated_paragraphs", "max_repeated_paragraph_share", _number("repeated_paragraph_share")),
    Rule("character_run", "max_character_run", _number("longest_character_run")),
    Rule("monotonous", "min_distinct_word_share", _number("distinct_word_share")),
    Rule("too_many_symbols", "max_symbol_share", _number("symbol_share")),
    Rule("too_many_digits", "max_digit_share", _number("digit_share")),
    Rule("too_much_upper_case", "max_uppercase_share", _number("uppercase_share")),
    Rule("too_much_white_space", "max_whitespace_share", _number("whitespace_share")),
    Rule("too_few_letters", "max_nonalphabetic_share", _number("nonalphabetic_share")),
    Rule("copies_prompt", "max_answer_copies_prompt_share", _number("answer_copies_prompt_share")),
    Rule("too_many_urls", "max_url_count", _number("url_count")),
    Rule("urls_in_prompt", "max_prompt_url_count", _number("prompt_url_count")),
    Rule("invisible_characters", "max_invisible_count", _number("invisible_count")),
    Rule("bidirectional_characters", "max_bidirectional_count", _number("bidirectional_count")),
    Rule("control_characters", "max_control_count", _number("control_count")),
    Rule("mojibake", "max_mojibake_count", _number("mojibake_count")),
    Rule("unclosed_brackets", "max_unclosed_brackets", _number("unclosed_brackets")),
    Rule("language_mismatch", "reject_language_mismatch", _number("language_mismatch")),
    Rule("format_mismatch", "reject_format_mismatch", _number("format_mismatch")),
    Rule("over_word_limit", "max_words_over_limit", _number("words_over_limit")),
    Rule("missing_items", "max_missing_items", _number("missing_items")),
    Rule("wrong_equation", "reject_wrong_equations", _present("wrong_equation")),
    Rule("contradiction", "reject_contradictions", _present("contradiction")),
    Rule("unhelpful", "reject_unhelpful", _present("unhelpful_phrase")),
    Rule("hedging", "reject_hedging", _present("hedge_phrase")),
    Rule("surprising", "max_perplexity", _number("perplexity")),
    Rule("ifd_too_high", "max_ifd", _number("ifd")),
    Rule("ifd_too_low", "min_ifd_length_rank", _number("ifd_length_rank")),
    Rule("judged_low", "min_judge_score", _number("judge_score")),
    Rule("has_email", "emails", _number("email_count")),
    Rule("has_phone", "phones", _number("phone_count")),
    Rule("has_ip_address", "ip_addresses", _number("ip_count")),
    Rule("has_card", "cards", _number("card_count")),
    Rule("has_iban", "ibans", _number("iban_count")),
    Rule("has_secret", "secrets", _number("secret_count")),
    Rule("has_password", "passwords", _number("password_count")),
)


def verdict(params: Settings) -> list[pl.Expr]:
    """reason, value and threshold of the first broken rule; null for a row that breaks none."""
    on = [(rule, rule.thresholds(params)) for rule in RULES if rule.is_on(params)]
    broken = [(rule, threshold, rule.broken(threshold)) for rule, threshold in on]
    return [
        pl.coalesce(*(pl.when(b).then(pl.lit(r.reason)) for r, _, b in broken), pl.lit(None, pl.String)).alias(
            "reason"
        ),
        pl.coalesce(*(pl.when(b).then(r.value) for r, _, b in broken), pl.lit(None, pl.Float64)).alias("value"),
        pl.coalesce(*(pl.when(b).then(t) for _, t, b in broken), pl.lit(None, pl.Float64)).alias("threshold"),
    ]
