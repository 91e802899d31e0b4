"""The rows of evaluation and generations, from what both models did."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.evaluate.answers import Answer
from stages.evaluate.diagnosis import is_looping, leaks_role, role_marks, same_answer
from stages.evaluate.losses import ALL, estimates_by_slice
from stages.evaluate.stage import EvaluateParams
from stages.measures.intervals import Estimate, share
from stages.modelling.chat_template import ChatTokenizer

Row = dict[str, Any]


def loss_rows(
    metric: str, sequences: pl.DataFrame, sums: Mapping[str, npt.NDArray[np.float64]], params: EvaluateParams
) -> list[Row]:
    """A row per model and slice. Both models get the same resamples, so that their intervals compare."""
    return [
        _row(metric, model, slice_name, estimate)
        for model, model_sums in sums.items()
        for slice_name, estimate in estimates_by_slice(
            sequences, model_sums, resamples=params.resamples, seed=params.seed
        ).items()
    ]


def answer_rows(
    chat: ChatTokenizer, prompts: pl.DataFrame, answers: Mapping[str, Sequence[Answer]], stop_ids: Sequence[int]
) -> list[Row]:
    """A row per rate and model; none without prompts."""
    if not prompts.height:
        return []
    marks = role_marks(chat, {chat.decode([token]) for token in stop_ids})
    rows = []
    for model, given in answers.items():
        texts = [chat.decode(answer.ids) for answer in given]
        counts = {
            "stop_rate": sum(answer.stopped for answer in given),
            "exact_match_rate": sum(map(same_answer, texts, prompts["reference"])),
            "looping_rate": sum(is_looping(answer.ids) for answer in given),
            "role_leak_rate": sum(leaks_role(text, marks) for text in texts),
        }
        rows += [_row(metric, model, ALL, share(count, len(given))) for metric, count in counts.items()]
    return rows


def base_beside_tuned(rows: Sequence[Row]) -> list[str]:
    """A line per metric for people: what both models have over all slices."""
    whole = {(row["metric"], row["model"]): row["value"] for row in rows if row["slice"] == ALL}
    return [f"{metric} {value:.3f} -> {whole[metric, 'tuned']:.3f}"
            for (metric, model), value in whole.items() if model == "base"]  # fmt: skip


def side_by_side(chat: ChatTokenizer, prompts: pl.DataFrame, answers: Mapping[str, Sequence[Answer]]) -> pl.DataFrame:
    """The table generations: each prompt with the answers of both models."""
    columns = [
        column
        for model, given in answers.items()
        for column in (
            pl.Series(f"{model}_answer", [chat.decode(answer.ids) for answer in given], dtype=pl.String),
            pl.Series(f"{model}_stopped", [answer.stopped for answer in given], dtype=pl.Boolean),
        )
    ]
    return prompts.select("row_id", "prompt", "reference").with_columns(columns)


def _row(metric: str, model: str, slice_name: str, estimate: Estimate) -> Row:
    return {"metric": metric, "model": model, "slice": slice_name, **estimate._asdict()}
