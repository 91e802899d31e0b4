"""Measures base and tuned model, one after the other in memory, on the same tokens, and compares what they did."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch

import stages.modelling.without_scipy  # noqa: F401 - before all that loads PEFT
from stages.contract import Progress, Workbench
from stages.errors import DataError
from stages.evaluate.answers import answer_prompts, greedy, stop_ids_of
from stages.evaluate.comparison import Row, answer_rows, base_beside_tuned, loss_rows, side_by_side
from stages.evaluate.held_out import HeldOut, held_out_examples, held_out_prompts, held_out_split, plain_text_pieces
from stages.evaluate.kept_measures import Measured, find, keep, place_of
from stages.evaluate.stage import EvaluateParams
from stages.modelling.adapters import token_rows
from stages.modelling.chat_template import ChatTokenizer
from stages.modelling.models import add_token_rows, load_config, load_model, repeatable
from stages.modelling.sequence_loss import loss_sums
from stages.modelling.tokenizer_files import open_chat_tokenizer
from stages.raw_files.source_files import SourceFile

ALMOST_ENDLESS = 2**31  # tokens; stands for a model that states no longest input


class Work(NamedTuple):
    """What each model is given: sequences by the metric that their loss is, and prompts."""

    sequences: dict[str, pl.DataFrame]
    prompts: pl.DataFrame
    stop_ids: list[int]


def run(  # noqa: PLR0913 - the datasets of the stage
    base: Path,
    model: Path,
    examples: Path,
    mixture: Path,
    *,
    plain_text: list[SourceFile] | None = None,
    evaluation: Path,
    generations: Path,
    params: EvaluateParams,
    workbench: Workbench,
) -> dict[str, Any]:
    """Writes one row per metric, model and slice, and one per prompt with both answers.

    Raises DataError when nothing was held out, ConfigError for a folder that is no model.
    """
    chat = open_chat_tokenizer(model)
    split = held_out_split(examples)
    limit = min(_readable_tokens(base), _readable_tokens(model))
    within = min(params.max_tokens, limit)
    sequences = {"held_out_loss": held_out_examples(examples, split, params, limit)}
    if plain_text is not None:
        sequences["plain_text_loss"] = plain_text_pieces(plain_text, chat, params, within)
    prompts, passed_over = held_out_prompts(HeldOut(mixture, examples, split), chat, params, within)
    work = Work(sequences, prompts, stop_ids_of(model, chat))
    rows = token_rows(model)
    _refuse_foreign_tokens(examples, sequences["held_out_loss"], rows)
    with repeatable(params.cpu_threads):
        of_base, was_kept = _measure_base(base, rows, work, params, workbench)
        tuned = _measure(model, rows, work, params, partial(workbench.progress, model="tuned"))
        measured = {"base": of_base, "tuned": tuned}
    written = _write(chat, work, measured, params, (evaluation, generations))
    return {
        "told": base_beside_tuned(written),
        "split": split,
        "base_measured_before": was_kept,
        "prompts": prompts.height,
        "prompts_passed_over": passed_over,
    } | {f"{metric}_sequences": table.height for metric, table in sequences.items()}


def _readable_tokens(folder: Path) -> int:
    """The longest input that a model is made for."""
    return int(getattr(load_config(folder).get_text_config(), "max_position_embeddings", None) or ALMOST_ENDLESS)


def _refuse_foreign_tokens(examples: Path, sequences: pl.DataFrame, token_rows: int) -> None:
    largest = sequences["input_ids"].explode().max()
    if isinstance(largest, int) and largest >= token_rows:
        raise DataError(
            f"{examples}: token id {largest} is beyond the {token_rows:,} tokens of the model, so the examples were made "
            "with another tokenizer; give the examples that the model was trained on"
        )


def _measure_base(
    base: Path, token_rows: int, work: Work, params: EvaluateParams, workbench: Workbench
) -> tuple[Measured, bool]:
    """As `_measure`; True where an earlier evaluation with this base and these data had done it."""
    said = [
        workbench.input_digests.get("base", workbench.key),
        token_rows,
        work.stop_ids,
        params.model_dump(mode="json"),
    ]
    place = place_of(workbench.cache, {**work.sequences, "prompts": work.prompts}, said)
    if (kept := find(place)) is not None:
        return kept, True
    measured = _measure(base, token_rows, work, params, partial(workbench.progress, model="base"))
    keep(place, measured)
    return measured, False


def _measure(folder: Path, token_rows: int, work: Work, params: EvaluateParams, progress: Progress) -> Measured:
    """Loads one model and lets it do the work. A base that lacks the tuned model's new tokens gets rows for them.

    Those rows are what training started from, so the comparison shows what training did.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_model(folder, _dtype(params, device))
    add_token_rows(model, token_rows)
    model.to(device)
    sums = {
        metric: loss_sums(model, table, batch_tokens=params.batch_tokens, progress=progress)
        for metric, table in work.sequences.items()
    }
    answers = answer_prompts(
        model,
        work.prompts["prompt_ids"].to_list(),
        greedy(work.stop_ids, params.max_new_tokens),
        batch_tokens=params.batch_tokens,
        progress=progress,
    )
    return Measured(sums, answers)


def _dtype(params: EvaluateParams, device: torch.device) -> torch.dtype:
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return wanted.get(params.precision, torch.bfloat16 if has_bfloat16 else torch.float32)


def _write(
    chat: ChatTokenizer,
    work: Work,
    measured: dict[str, Measured],
    params: EvaluateParams,
    folders: tuple[Path, Path],
) -> list[Row]:
    answers = {name: made.answers for name, made in measured.items()}
    rows = answer_rows(chat, work.prompts, answers, work.stop_ids)
    for metric, table in work.sequences.items():
        sums = {name: made.loss_sums[metric] for name, made in measured.items()}
        rows += loss_rows(metric, table, sums, params)
    evaluation, generations = folders
    ends = {"low": pl.Float64, "high": pl.Float64}
    pl.DataFrame(rows, schema_overrides=ends, infer_schema_length=None).write_parquet(evaluation / "part-00000.parquet")
    side_by_side(chat, work.prompts, answers).write_parquet(generations / "part-00000.parquet")
    return rows
