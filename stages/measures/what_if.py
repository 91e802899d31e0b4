"""What other thresholds of the filter would keep, answered from the signals alone: no stage runs.

Every function takes the rows that the filter reads, with their signals, and does not care who measured them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from stages.measures.filter_rules import RULES, Rule, Settings, verdict
from stages.measures.selector_honesty import honesty_of_choice
from stages.texts.conversation_text import prompt_text, response_text
from stages.texts.private_data import masked

CHARS_PER_TOKEN = 4.0  # of English in the vocabularies of today; measured instead where tokens are known
CURVE_POINTS = 21
EXCERPT_CHARS = 60
EXCERPT_READ_CHARS = 4_000  # so that no finding is cut off where the excerpt ends


class TokenRate(NamedTuple):
    """How tokens are told from characters, and whether that was measured on rows of this run."""

    chars_per_token: float
    is_measured: bool


class Outlook(NamedTuple):
    """What a set of thresholds keeps of the rows."""

    rows: int
    kept: int
    tokens: int
    kept_tokens: int
    tasks: dict[str, tuple[int, int]]  # task type -> rows, kept rows
    reasons: dict[str, int]  # reason -> rows, most frequent first
    mean_words: float | None  # of all answers
    kept_mean_words: float | None
    length_auc: float | None  # chance that a kept answer is longer than a rejected one; 0.5 = length plays no part


class RuleOutlook(NamedTuple):
    """One rule by itself, whatever the others say of the same rows."""

    rule: Rule
    is_on: bool
    rejected: int
    misses: pl.DataFrame  # columns of `nearest_misses`


def token_rate(rows: pl.LazyFrame, examples: pl.LazyFrame | None = None) -> TokenRate:
    """Characters per token of the rows that became examples; without examples, what is usual for English."""
    if examples is None:
        return TokenRate(CHARS_PER_TOKEN, is_measured=False)
    tokens = examples.group_by("row_id").agg(tokens=pl.col("input_ids").list.len().sum())
    both = rows.select("row_id", chars=_chars()).join(tokens, on="row_id")
    chars, count = both.select(pl.col("chars").sum(), pl.col("tokens").sum()).collect().row(0)
    return TokenRate(chars / count, is_measured=True) if chars and count else TokenRate(CHARS_PER_TOKEN, False)


def outlook(rows: pl.LazyFrame, params: Settings, rate: TokenRate) -> Outlook:
    """What the filter with `params` would keep."""
    judged = rows.select("row_id", "task_type", "response_words", *verdict(params), chars=_chars()).collect()
    judged = judged.with_columns(picked=pl.col("reason").is_null())
    kept = judged.filter("picked")
    tasks = judged.group_by("task_type").agg(rows=pl.len(), kept=pl.col("picked").sum()).sort("task_type")
    reasons = judged.drop_nulls("reason").group_by("reason").len().sort(["len", "reason"], descending=[True, False])
    return Outlook(
        rows=judged.height,
        kept=kept.height,
        tokens=round(float(judged["chars"].sum()) / rate.chars_per_token),
        kept_tokens=round(float(kept["chars"].sum()) / rate.chars_per_token),
        tasks={task or "unknown": (rows, kept) for task, rows, kept in tasks.rows()},
        reasons=dict(reasons.rows()),
        mean_words=_mean(judged),
        kept_mean_words=_mean(kept),
        length_auc=honesty_of_choice(judged, "picked", "response_words").length_auc,
    )


def newly_decided(rows: pl.LazyFrame, before: Settings, after: Settings, count: int) -> Mapping[str, pl.DataFrame]:
    """Some rows that `after` rejects and `before` keeps, and the other way round: row_id, reason, value, threshold, text."""
    told = [name.meta.output_name() for name in verdict(after)]
    judged = rows.with_columns(e.name.suffix("_before") for e in verdict(before)).with_columns(verdict(after))
    was, now = pl.col("reason_before"), pl.col("reason")
    lost = judged.filter(was.is_null() & now.is_not_null())
    won = judged.filter(was.is_not_null() & now.is_null())
    return {
        "rejected": lost.sort("row_id").head(count).select("row_id", *told, text=_excerpt()).collect(),
        "kept": won.sort("row_id").head(count)
        .select("row_id", *(pl.col(f"{name}_before").alias(name) for name in told), text=_excerpt()).collect(),
    }  # fmt: skip


def by_rule(rows: pl.LazyFrame, params: Settings, count: int = 2) -> list[RuleOutlook]:
    """Each rule by itself: how many rows it rejects, and the nearest misses on both sides of its threshold."""
    names = [rule.reason for rule in RULES]
    counted = rows.select(rule.broken(rule.thresholds(params)).sum().alias(rule.reason) for rule in RULES).collect()
    return [
        RuleOutlook(rule, rule.is_on(params), counted[name].item(), nearest_misses(rows, rule, params, count))
        for rule, name in zip(RULES, names, strict=True)
        if rule.is_on(params)
    ]


def unmeasured(rows: pl.LazyFrame, params: Settings) -> list[str]:
    """Settings of thresholds for which no row has a value, so that they cannot reject any."""
    limits = [rule for rule in RULES if rule.is_on(params) and not rule.is_switch]
    counted = rows.select(pl.len().alias("rows"), *(rule.value.count().alias(rule.reason) for rule in limits)).collect()
    return [rule.setting for rule in limits if counted["rows"].item() and not counted[rule.reason].item()]


def nearest_misses(rows: pl.LazyFrame, rule: Rule, params: Settings, count: int = 2) -> pl.DataFrame:
    """The rows on each side nearest to the threshold of their task type: row_id, is_rejected, value, threshold, text.

    Rejected rows come first. A switch has no near side: rows without the signal are not near it, so none are told.
    """
    threshold = rule.thresholds(params)
    measured = rows.with_columns(value=rule.value, threshold=threshold).filter(
        pl.col("value").is_not_null(), pl.col("threshold").is_not_null()
    )
    sided = measured.with_columns(is_rejected=rule.broken(pl.col("threshold")))
    near = sided if not rule.is_switch else sided.filter("is_rejected")
    distance = (pl.col("value") - pl.col("threshold")).abs()
    sides = [
        near.filter(pl.col("is_rejected") == rejected)
        .sort(distance, "row_id")
        .head(count)
        .select("row_id", "is_rejected", "value", "threshold", text=_excerpt())
        for rejected in (True, False)
    ]
    return pl.concat(sides).collect()


def kept_curve(rows: pl.LazyFrame, rule: Rule, points: int = CURVE_POINTS) -> pl.DataFrame:
    """How many rows one rule alone would keep, by threshold: threshold, kept, share; thresholds rise.

    The thresholds are quantiles of the rows' own values, so that the curve has points where something happens.
    Empty where no row has a value; one point at 0 for a switch.
    """
    values = rows.select(value=rule.value).collect()["value"]
    measured = values.drop_nulls().sort()
    if not len(measured):
        return pl.DataFrame(schema={"threshold": pl.Float64, "kept": pl.Int64, "share": pl.Float64})
    quantiles = [measured.item(round((len(measured) - 1) * n / (points - 1))) for n in range(points)]
    thresholds = pl.Series("threshold", [0.0] if rule.is_switch else sorted(set(quantiles)))
    below = measured.search_sorted(thresholds, side="left" if rule.is_lower_bound else "right").cast(pl.Int64)
    passing = len(measured) - below if rule.is_lower_bound else below
    kept = passing + values.null_count()
    return pl.DataFrame({"threshold": thresholds, "kept": kept, "share": kept / len(values)})


def _chars() -> pl.Expr:
    return pl.col("prompt_chars").fill_null(0) + pl.col("response_chars")


def _mean(rows: pl.DataFrame) -> float | None:
    mean = rows["response_words"].mean()
    return float(mean) if isinstance(mean, int | float) else None


def _excerpt() -> pl.Expr:
    """The first words of question and answer, private data masked."""
    read = [text.str.head(EXCERPT_READ_CHARS) for text in (prompt_text(), response_text())]
    sides = [
        text.map_batches(masked, return_dtype=pl.String).str.replace_all(r"\s+", " ").str.head(EXCERPT_CHARS)
        for text in read
    ]
    return pl.concat_str(sides, separator=" -> ")
