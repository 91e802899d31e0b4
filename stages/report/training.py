"""What the model was trained on, in tokens, and how its loss fell."""

from typing import NamedTuple

import polars as pl
from markupsafe import Markup

from stages.measures.histograms import count_bins
from stages.pages import svg
from stages.store.queries import Tables, fetch

POINTS_SHOWN = 400  # more are averaged: a chart is about so many pixels wide
SPLITS = ("train", "validation", "test")


class Split(NamedTuple):
    """One split of the examples. `epoch_tokens` counts each example as often as an epoch shows it."""

    name: str
    examples: int
    tokens: int
    supervised_tokens: int
    epoch_tokens: int
    longest_tokens: int
    answers_dropped: int

    @property
    def supervised_share(self) -> float:
        return self.supervised_tokens / self.tokens if self.tokens else 0.0


class Training(NamedTuple):
    """The loss over the steps; `validation` is (step, loss) where it was lowest."""

    chart: Markup
    steps: int
    first_loss: float
    last_loss: float
    validation: tuple[int, float] | None
    supervised_tokens: int


def splits_of(tables: Tables) -> list[Split]:
    """The examples by split."""
    if "examples" not in tables:
        return []
    tokens = pl.col("input_ids").list.len().cast(pl.Int64)
    supervised = pl.col("loss_mask").list.sum().cast(pl.Int64)
    counted = fetch(
        tables["examples"].group_by(pl.col("split").alias("name")).agg(
            examples=pl.len(), tokens=tokens.sum(), supervised_tokens=supervised.sum(),
            epoch_tokens=(tokens * pl.col("repeats")).sum(), longest_tokens=tokens.max(),
            answers_dropped=pl.col("answers_dropped").sum(),
        )
    )  # fmt: skip
    splits = {row[0]: Split(*row) for row in counted.select(Split._fields).rows()}
    return [splits[name] for name in SPLITS if name in splits]


def token_chart(tables: Tables) -> Markup | None:
    """Tokens per example in logarithmic bins."""
    if "examples" not in tables:
        return None
    lengths = tables["examples"].select(tokens=pl.col("input_ids").list.len().cast(pl.Int64))
    return svg.histogram(*count_bins(lengths, lengths, "tokens"), "Tokens per example", height=160)


def training_of(tables: Tables) -> Training | None:
    """The loss curve of the run that made the model."""
    if "training_log" not in tables:
        return None
    log = fetch(tables["training_log"].select("step", "loss", "validation_loss", "supervised_tokens")).sort("step")
    if log.is_empty():
        return None
    validated = log.drop_nulls("validation_loss").select("step", "validation_loss")
    lines = [svg.Line("train", _thinned(log)), svg.Line("validation", validated.rows(), dots=True)]
    best = validated.sort("validation_loss", "step").head(1).rows()
    return Training(
        chart=svg.line_chart(lines, "Loss in nats per supervised token, by optimizer step"),
        steps=log["step"][-1], first_loss=log["loss"][0], last_loss=log["loss"][-1],
        validation=best[0] if best else None, supervised_tokens=log["supervised_tokens"][-1],
    )  # fmt: skip


def _thinned(log: pl.DataFrame) -> list[tuple[float, float]]:
    """(step, loss) of at most POINTS_SHOWN points; each stands for equally many neighbouring rows, at their mean."""
    rows_per_point = -(-log.height // POINTS_SHOWN)
    if rows_per_point == 1:
        return log.select("step", "loss").rows()
    points = log.with_row_index("point").group_by(pl.col("point") // rows_per_point)
    return points.agg(pl.col("step", "loss").mean()).sort("point").select("step", "loss").rows()
