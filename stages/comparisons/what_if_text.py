"""The what-if of the filter for people, as text for a terminal."""

from collections.abc import Mapping, Sequence

import polars as pl

from stages.measures.filter_rules import Rule
from stages.measures.what_if import Outlook, RuleOutlook, TokenRate


def comparison_text(before: Outlook, after: Outlook, rate: TokenRate, moved: Mapping[str, pl.DataFrame]) -> str:
    """Two sets of thresholds side by side, and some of the rows about which they disagree."""
    lines = [
        f"{'':<24}{'now':>14}{'then':>14}{'change':>12}",
        _counts("rows kept", before.kept, after.kept),
        _counts("tokens kept", before.kept_tokens, after.kept_tokens),
        _numbers("words of a kept answer", before.kept_mean_words, after.kept_mean_words),
        _numbers("length AUC of keeping", before.length_auc, after.length_auc, places=3),
        *_mix(before, after),
        *(_counts(f"  {reason}", before.reasons.get(reason, 0), after.reasons.get(reason, 0)) for reason in _reasons(before, after)),
    ]  # fmt: skip
    lines.insert(-len(_reasons(before, after)) or len(lines), "rejected, by first reason")
    lines.append(
        f"of {before.rows:,} rows; tokens of {_told(rate)}; a length AUC of 0.5 says that length plays no part in what is kept"
    )
    for side, rows in moved.items():
        if rows.height:
            lines.append(f"then {side}:")
            lines += [f"  {r['row_id']}  {r['reason']} {_short(r['value'])} ({_short(r['threshold'])})  {r['text']}" for r in rows.to_dicts()]  # fmt: skip
    return "\n".join(lines)


def rules_text(now: Outlook, rules: list[RuleOutlook], rate: TokenRate) -> str:
    """What is kept now, and for each rule that is on its rejected rows and the nearest misses on both sides."""
    lines = [
        f"{now.kept:,} of {now.rows:,} rows kept, {now.kept_tokens:,} of {now.tokens:,} tokens (of {_told(rate)})",
        f"words of an answer: all {_short(now.mean_words)}, kept {_short(now.kept_mean_words)}; "
        f"length AUC of keeping {_short(now.length_auc)} (0.5 = length plays no part)",
        "task mix: " + ", ".join(f"{task} {kept:,} of {rows:,}" for task, (rows, kept) in now.tasks.items()),
        "",
        f"{'setting':<34}{'rejects':>10}  nearest misses (rejected | kept)",
    ]
    for found in rules:
        lines.append(f"{found.rule.setting:<34}{found.rejected:>10,}")
        lines += [
            f"    {'|' if not miss['is_rejected'] else 'x'} {miss['row_id']}  {_short(miss['value'])} "
            f"{_sign(found.rule, miss['is_rejected'])} {_short(miss['threshold'])}  {miss['text']}"
            for miss in found.misses.to_dicts()
        ]
    return "\n".join(lines)


def unmeasured_text(settings: Sequence[str]) -> str:
    """A last line where thresholds have nothing to go by; without such nothing."""
    named = ", ".join(settings)
    return (
        f"\nno row has a value for {named}: nothing is rejected by it until score or rate measures it" if named else ""
    )


def _sign(rule: Rule, is_rejected: bool) -> str:
    return ("<" if is_rejected else "≥") if rule.is_lower_bound else (">" if is_rejected else "≤")


def _reasons(before: Outlook, after: Outlook) -> list[str]:
    return list(dict.fromkeys([*before.reasons, *after.reasons]))


def _mix(before: Outlook, after: Outlook) -> list[str]:
    """Rows of each task type, and their share of what is kept."""
    return [
        _counts(f"task {task}", kept, after.tasks.get(task, (0, 0))[1])
        + f"   {_share(kept, before.kept)} -> {_share(after.tasks.get(task, (0, 0))[1], after.kept)} of the kept"
        for task, (_, kept) in before.tasks.items()
    ]


def _counts(name: str, before: int, after: int) -> str:
    return f"{name:<24}{before:>14,}{after:>14,}{after - before:>+12,}"


def _numbers(name: str, before: float | None, after: float | None, places: int = 1) -> str:
    told = [f"{value:.{places}f}" if value is not None else "-" for value in (before, after)]
    change = f"{after - before:+.{places}f}" if before is not None and after is not None else "-"
    return f"{name:<24}{told[0]:>14}{told[1]:>14}{change:>12}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _told(rate: TokenRate) -> str:
    return f"{rate.chars_per_token:.2f} characters, {'measured' if rate.is_measured else 'assumed'}"
