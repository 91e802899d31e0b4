"""The verdict on each evaluation file: what it was, how many rows held its items, and how surely that was found."""

from collections.abc import Sequence

import polars as pl

from stages.decontaminate.calibration import Calibration
from stages.decontaminate.eval_files import EvalFile
from stages.schema import load_schema

REASONS = ("eval_exact", "eval_ngram", "eval_rephrased")


def summarise(
    files: Sequence[EvalFile],
    found: pl.DataFrame,
    too_common: pl.DataFrame,
    calibrations: dict[str, Calibration],
    clean: tuple[int, pl.DataFrame],
) -> pl.DataFrame:
    """The dataset `decontamination`.

    `too_common` has row_id and eval_file, each pair once; `clean` is how many rows are known clean, and those of `found`
    that are.
    """
    counts = {reason: _by_file(found.filter(reason=reason)) for reason in REASONS}
    common, clean_rows, wrongly = _by_file(too_common), clean[0] or None, _by_file(clean[1])
    rows = []
    for file in files:
        calibration = calibrations.get(file.name)
        rows.append(
            {
                "eval_file": file.name,
                "sha256": file.sha256,
                "skipped": file.skipped,
                "items": file.items,
                **{reason: counts[reason].get(file.name, 0) for reason in REASONS},
                "too_common": common.get(file.name, 0),
                "least_score": calibration.least_score if calibration else None,
                "false_positive_rate": calibration.false_positive_rate if calibration else None,
                "false_positive_rate_high": calibration.highest_rate if calibration else None,
                "known_clean_rows": clean_rows,
                "known_clean_flagged": wrongly.get(file.name, 0) if clean_rows else None,
            }
        )
    return pl.DataFrame(rows, schema=load_schema("decontamination").dtypes)


def _by_file(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by("eval_file").len().rows())


def told_of(decontamination: pl.DataFrame, max_rate: float | None) -> list[str]:
    """Lines for people: how surely items in other words were told from others, and what was not looked at or kept."""
    rates = decontamination.filter(pl.col("false_positive_rate").is_not_null()).sort("false_positive_rate")
    told = [
        f"items in other words: of the items of {file} {rate:.2%} would be flagged by mistake (95 % sure: at most "
        f"{high:.2%}), of no other file more" + (f"; {max_rate:.2%} was asked for" if rate > (max_rate or 0) else "")
        for file, rate, high in rates.select("eval_file", "false_positive_rate", "false_positive_rate_high")
        .tail(1)
        .rows()
    ]
    unmeasured = decontamination.filter(pl.col("least_score").is_not_null(), pl.col("false_positive_rate").is_null())
    if unmeasured.height:
        told.append(f"too few items to measure mistakes: {', '.join(unmeasured['eval_file'])}")
    common = decontamination["too_common"].sum()
    if common:
        told.append(f"{common:,} times a row was kept that says what an item says, as many rows say it")
    skipped = decontamination.filter(pl.col("skipped").is_not_null()).select("eval_file", "skipped").rows()
    return told + [f"{file} was passed over: {why}" for file, why in skipped]
