"""The rules in the order in which they are tried: the first that a row breaks is its reason."""

from typing import NamedTuple

import polars as pl

from stages.filter.stage import FilterParams


class Rule(NamedTuple):
    """`value` may not pass `setting`: may not lie below it for `min_…`, nor above it for the others.

    A rule that `reject_…` turns on holds 1.0 (the signal is there) against a threshold of 0.0. A null value passes.
    """

    reason: str
    setting: str
    value: pl.Expr

    def threshold(self, params: FilterParams) -> float | None:
        """None where `params` turns the rule off."""
        stated = getattr(params, self.setting)
        if isinstance(stated, bool):
            return 0.0 if stated else None
        return None if stated is None else float(stated)

    def broken(self, threshold: float) -> pl.Expr:
        value = self.value
        return ((value < threshold) if self.setting.startswith("min_") else (value > threshold)).fill_null(value=False)


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
    Rule("refusal", "reject_refusals", _present("refusal_phrase")),
    Rule("placeholder_input", "reject_placeholder_input", _number("placeholder_input")),
    Rule("unfinished", "reject_unfinished", _number("ends_unfinished")),
    Rule("repetitive", "max_repeated_trigram_share", _number("repeated_trigram_share")),
    Rule("too_many_symbols", "max_symbol_share", _number("symbol_share")),
    Rule("too_many_digits", "max_digit_share", _number("digit_share")),
    Rule("copies_prompt", "max_answer_copies_prompt_share", _number("answer_copies_prompt_share")),
    Rule("too_many_urls", "max_url_count", _number("url_count")),
)
