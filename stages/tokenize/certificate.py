"""Counts and checks finished examples again, from the tables alone: the mask certificate."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import DataError
from stages.modelling.chat_template import ChatTokenizer
from stages.texts.private_data import mask_all
from stages.tokenize.refusal import REASONS

SHOWN = 3  # examples rendered in the certificate with the mask visible


@dataclass
class Count:
    """What a table of examples holds; `ends` counts the last tokens of the supervised runs by id."""

    rows: int = 0
    examples: Counter[str] = field(default_factory=Counter)  # by form
    answers: Counter[str] = field(default_factory=Counter)  # by form
    answers_dropped: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)  # examples by what a server has to be told
    tokens: int = 0
    supervised_tokens: int = 0


def count_examples(parts: list[Path]) -> Count:
    """The count over all parts; one part is in memory at a time. Raises DataError when a position 0 is supervised."""
    count = Count(rows=pl.scan_parquet(parts, glob=False).select(pl.col("row_id").n_unique()).collect().item())
    for part in parts:
        examples = pl.read_parquet(part, glob=False)
        count.answers_dropped += int(examples["answers_dropped"].sum())
        told = examples["prompt_settings"].fill_null("{}").value_counts()
        count.settings.update(dict(told.iter_rows()))
        for (form,), group in examples.group_by("form"):
            count.examples[str(form)] += group.height
            _add_masks(count, str(form), group)
    return count


def _add_masks(count: Count, form: str, examples: pl.DataFrame) -> None:
    ids, mask = examples["input_ids"].explode().to_numpy(), examples["loss_mask"].explode().to_numpy()
    starts = np.concatenate([[0], np.cumsum(examples["input_ids"].list.len().cast(pl.Int64).to_numpy())])[:-1]
    if mask[starts].any():
        first = examples["row_id"][int(np.flatnonzero(mask[starts])[0])]
        raise DataError(
            f"{int(mask[starts].sum())} examples count their first token, which nothing predicts (first: {first})"
        )
    ends = _run_ends(mask)
    count.answers[form] += len(ends)
    if form != "document":
        count.ends.update(ids[ends].tolist())
    count.tokens += len(ids)
    count.supervised_tokens += int(mask.sum())


def _run_ends(mask: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Positions of the last 1 of each run of 1s; as each example begins with 0, no run goes from one into the next."""
    return np.flatnonzero(np.diff(mask, append=np.int8(0)) == -1)


def count_refused(parts: Iterable[Path]) -> dict[str, dict[str, int]]:
    """Reason -> rows and answers refused for it, every reason named: a 0 says that the check found nothing."""
    answers = pl.col("messages").list.eval(pl.element().struct.field("role").is_in(["assistant", "text"])).list.sum()
    counted = {reason: {"rows": 0, "answers": 0} for reason in REASONS}
    for part in parts:
        refused = pl.read_parquet(part, columns=["messages", "reason"], glob=False)
        totals = refused.group_by("reason").agg(rows=pl.len(), answers=answers.sum())
        for row in totals.iter_rows(named=True):
            counted[row["reason"]] = {"rows": row["rows"] + counted[row["reason"]]["rows"],
                                      "answers": row["answers"] + counted[row["reason"]]["answers"]}  # fmt: skip
    return counted


def refuse_unended(ends: Counter[int], chat: ChatTokenizer) -> dict[str, int]:
    """End token -> answers that end in it. Raises DataError when an answer ends in anything but a control token."""
    control = {id_: token for token, id_ in chat.control_ids.items()}
    unended = {id_: number for id_, number in ends.items() if id_ not in control}
    if unended:
        raise DataError(
            f"{sum(unended.values())} answers end in no control token but in {chat.decode(sorted(unended)[:5])!r}; "
            "a model trained on them would not stop: this is a fault of stages/tokenize, please report it"
        )
    return {control[id_]: ends[id_] for id_ in sorted(ends)}


def show_masks(parts: Sequence[Path], chat: ChatTokenizer) -> list[dict[str, Any]]:
    """The first examples as runs of text without private data, each with whether it counts: they go on with the model."""
    examples = pl.concat([pl.read_parquet(part, n_rows=SHOWN, glob=False) for part in parts]).head(SHOWN)
    shown = examples.select("row_id", "turn", "input_ids", "loss_mask").iter_rows()
    return [{"row_id": row_id, "turn": turn, "text": _runs(ids, mask, chat)} for row_id, turn, ids, mask in shown]


def _runs(ids: list[int], mask: list[int], chat: ChatTokenizer) -> list[dict[str, Any]]:
    edges = np.flatnonzero(np.diff(np.array(mask, dtype=np.int8))) + 1
    runs = zip([0, *edges.tolist()], [*edges.tolist(), len(ids)], strict=True)
    return [{"counts": bool(mask[start]), "text": mask_all(chat.decode(ids[start:end]))} for start, end in runs]
