"""The README that goes with a registered model: what it was trained on, what was measured, what that cannot show."""

from collections.abc import Mapping, Sequence
from string import Template

import polars as pl

from stages.modelling.served_model import Form, ServedModel
from stages.register.loading import how_to_load

CARD = Template("""\
# $name

A language model after supervised fine-tuning (SFT)$method.

## Trained on

$training_data

$training

## Checked against evaluation files

$decontamination

## Measured on held-out data

$evaluation

Intervals are 95 %. Losses are in nats per token, lower is better; rates are shares of the prompts.

## What this does not show

Supervised fine-tuning teaches the form of an answer: to answer at all, in the template's turns, and to stop.
It gives no negative signal and adds hardly any knowledge. So nothing here shows that

- answers are true: facts are those of the base model, fluently put;
- the model prefers the better of two valid answers, or knows what to refuse: that takes preference data;
- its doubt is calibrated;
- it is safe for any use.

A low held-out loss alone misleads; read the answers in `generations/` beside those of the base.

## Use

$use

The tokenizer carries the chat template, and `generation_config.json` the end tokens that were trained; another template
gives worse answers.

$merge## Identity

$digests
""")

METHODS: dict[Form, str] = {
    "whole": ", all of whose weights were trained",
    "merged": " through an adapter of kind {kind} that is merged into it",
    "adapter": " through an adapter of kind {kind} that cannot be merged and is served beside its base",
}


def write_card(
    name: str,
    served: ServedModel,
    examples: pl.LazyFrame,
    evaluation: pl.DataFrame,
    logs: Mapping[str, pl.DataFrame],
    digests: Mapping[str, str],
) -> str:
    """The card as Markdown. `digests` are named in it.

    `logs` may have `training_log` and `decontamination`.
    """
    return CARD.substitute(
        name=name,
        method=METHODS[served.form].format(kind=served.kind),
        training_data=_training_data(examples),
        training=_training(logs.get("training_log")),
        decontamination=_decontamination(logs.get("decontamination")),
        evaluation=_evaluation(evaluation),
        use=how_to_load(served),
        merge=_merge(served),
        digests=_table(["dataset", "SHA-256"], [*_base(served, digests), *digests.items()]),
    )


def _base(served: ServedModel, digests: Mapping[str, str]) -> list[tuple[str, str]]:
    return [] if served.base_digest is None or "base" in digests else [("base", served.base_digest)]


def _merge(served: ServedModel) -> str:
    """What was measured of the merge; nothing where there was none."""
    if served.form != "merged":
        return ""
    stated = [(name, value) for name, value in served.certificate.items() if isinstance(value, int | float | str)]
    told = [(n, f"{v:.4g}" if isinstance(v, float) else str(v)) for n, v in stated if not n.endswith("_digest")]
    heading = "## The merge\n\nBase with adapter beside the merged model as it was read back from its files.\n\n"
    return heading + _table(["measured", "value"], told) + "\n\n"


def _training_data(examples: pl.LazyFrame) -> str:
    counts = (
        examples.filter(pl.col("split") == "train")
        .group_by("source")
        .agg(
            pl.col("row_id").n_unique().alias("conversations"),
            pl.col("input_ids").list.len().sum().alias("tokens"),
            pl.col("loss_mask").list.sum().sum().alias("supervised tokens"),
        )
        .sort("source")
        .collect()
    )
    if counts.is_empty():
        return "No example of split train came with the model."
    return _table(counts.columns, [(row[0], *(f"{count:,}" for count in row[1:])) for row in counts.rows()])


def _training(training_log: pl.DataFrame | None) -> str:
    if training_log is None or training_log.is_empty():
        return "No training log came with the model."
    ordered = training_log.sort("step")
    first, last = ordered.row(0, named=True), ordered.row(-1, named=True)
    return (
        f"{last['step']:,} optimizer steps over {last['supervised_tokens']:,} supervised tokens; "
        f"training loss {first['loss']:.3f} at step {first['step']:,}, {last['loss']:.3f} at the end."
    )


def _decontamination(verdict: pl.DataFrame | None) -> str:
    if verdict is None or verdict.is_empty():
        return "The training rows were compared with no evaluation file, or the verdict did not come with the model."
    read = verdict.filter(pl.col("skipped").is_null()).sort("eval_file", "sha256")
    rows: list[tuple[str, ...]] = [
        (file, f"{items:,}", f"{exact:,}", f"{ngram:,}", f"{rephrased:,}", _share(rate), digest)
        for file, items, exact, ngram, rephrased, rate, digest in read.select(
            "eval_file", "items", "eval_exact", "eval_ngram", "eval_rephrased", "false_positive_rate", "sha256"
        ).rows()
    ]
    header = [
        "file",
        "items",
        "rows removed: whole item",
        "part",
        "in other words",
        "falsely, of clean rows",
        "SHA-256",
    ]
    return "Rows that held items of these files were removed before training.\n\n" + _table(header, rows)


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"


def _evaluation(evaluation: pl.DataFrame) -> str:
    rows = evaluation.sort("metric", pl.col("slice") != "all", "slice", "model").select(
        "metric", "slice", "model", "value", "low", "high", "n"
    )
    return _table(
        ["metric", "slice", "model", "value", "interval", "n"],
        [(m, s, who, f"{v:.3f}", _interval(low, high), f"{n:,}") for m, s, who, v, low, high, n in rows.rows()],
    )


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _table(header: list[str], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ["---"] * len(header), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
