"""Trains: a base and examples in, an adapter or a model and the log of the training out."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl
import torch
from transformers import PreTrainedTokenizerBase

import stages.modelling.without_scipy  # noqa: F401 - before all that loads PEFT
from stages.contract import Progress, Workbench
from stages.errors import ConfigError, DataError
from stages.modelling.models import copy_tokenizer, embedding_rows, load_config, repeatable, set_stop_ids
from stages.modelling.tokenizer_files import open_tokenizer
from stages.run_log import run_log
from stages.schema import load_schema
from stages.train.arithmetic import choose_arithmetic
from stages.train.examples import Examples, closing_ids, read_examples, refuse_unfit
from stages.train.experiments import as_experiment
from stages.train.footprint import Shape
from stages.train.foresight import foresee
from stages.train.launch import gather_team
from stages.train.loop import Plan, Run
from stages.train.methods import (
    Trainable,
    causal_model,
    is_adapted,
    load_trainable,
    save_adapter,
    save_full,
    trained_weights,
    weight_count,
)
from stages.train.samples import shortened
from stages.train.sharding import copy_into
from stages.train.stage import TrainParams
from stages.train.team import Team
from stages.train.telling import MetricsLog, what_was_trained


class Work(NamedTuple):
    """What every process of a team needs to know."""

    base: Path
    examples: Path
    tokenizer: Path | None
    params: TrainParams
    checkpoints: Path


class Splits(NamedTuple):
    """What is learned from and what is only measured on."""

    train: Examples
    validation: Examples  # may be none


def run(  # noqa: PLR0913 - inputs, outputs and what every job gets
    base: Path,
    examples: Path,
    *,
    tokenizer: Path | None = None,
    adapter: Path | None,
    model: Path | None,
    training_log: Path,
    params: TrainParams,
    workbench: Workbench,
) -> dict[str, object]:
    """Fills `adapter` or `model`, whichever is given, and `training_log`; on a CPU the same inputs give the same bytes.

    Raises ConfigError for a base that cannot be trained as asked, and DataError for examples that it cannot learn from.
    """
    folder = adapter or model
    if folder is None:
        raise ConfigError(f"method={params.method} has no output folder; run it by python -m stages run train")
    work = Work(base, examples, tokenizer, params, workbench.scratch / "checkpoints")
    name = f"train-{workbench.key[:12]}"
    with (
        repeatable(params.cpu_threads),
        gather_team(params) as team,
        run_log(workbench.tracking_uri, "train", name, params.model_dump(), key=workbench.key) as log,
    ):
        training = set_up(team, team.agree(work), workbench.progress, log)
        training.finish()
        save_log(training, training_log)
        stop_ids = find_stop_ids(training.plan.train, training.plan.words)
        digest = workbench.input_digests.get("base", "base")
        save_trained(trained_model(training, work), folder, stop_ids, base_dtype(base), digest)
        copy_tokenizer(tokenizer or base, folder)
        return facts(training) | {"stop_ids": ", ".join(map(str, stop_ids))}


def set_up(team: Team, work: "Work", progress: Progress, log: MetricsLog) -> Run:
    """A training that is ready to start, the same in every process of the team."""
    params = work.params
    progress(0, 2, "preparations", now="reads examples and base")
    splits = read_splits(work.examples, params)
    words = open_tokenizer(work.tokenizer or work.base)
    arithmetic = choose_arithmetic(team.device, params)
    foreseen = foresee(Shape(work.base, words, params, arithmetic), splits.train)
    plan = Plan(params, *splits, arithmetic, work.checkpoints, progress, log, words, foreseen)
    trained = _load(work, plan)
    refuse_unfit_splits(splits, trained, params.virtual_token_count)
    return Run(replace(team, is_sharded=params.parallelism == "fsdp2"), trained, plan)


def _load(work: "Work", plan: Plan) -> Trainable:
    text = plan.train.input_ids[: work.params.virtual_token_count].tolist()
    return load_trainable(work.base, plan.words, work.params, plan.arithmetic.dtype, text=text)


def trained_model(training: Run, work: "Work") -> Trainable:
    """The model as it was trained; where processes hold shares of it, loaded once more and given the trained weights."""
    if not training.team.is_sharded:
        return training.model
    model = _load(work, training.plan)
    copy_into(trained_weights(model), training.final)
    return model


def read_splits(folder: Path, params: TrainParams) -> Splits:
    """Both splits; DataError when there is nothing to learn from, ConfigError when early stopping has nothing to go by."""
    splits = Splits(*(read_examples(folder, params.objective, split) for split in ("train", "validation")))
    if not len(splits.train):
        raise DataError(
            f"examples: none of split train has a token to learn with objective={params.objective}; "
            f"look at what tokenize refused, or at the splits that mix made"
        )
    splits = splits._replace(train=as_experiment(splits.train, params))
    if params.early_stopping_patience is not None and not len(splits.validation):
        raise ConfigError(
            "early_stopping_patience is set, and no example is of split validation; let mix make one, or unset it"
        )
    return splits


def refuse_unfit_splits(splits: Splits, trained: Trainable, virtual_tokens: int = 0) -> None:
    model = causal_model(trained)
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is not None:
        positions -= virtual_tokens  # they stand before each example
    for examples in splits:
        if len(examples):
            refuse_unfit(examples, tokens=embedding_rows(model), max_positions=positions)


def find_stop_ids(examples: Examples, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The control tokens that end what is learned, and the tokenizer's own end token: where generation must stop.

    The base's own setting is not asked: it belongs to its old template, or is a default that means another token here.
    """
    control = set(tokenizer.added_tokens_decoder)
    ends = [token for token in closing_ids(examples) if token in control]
    return list(dict.fromkeys([*ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])]))


def base_dtype(base: Path) -> torch.dtype:
    """The precision in which the base stores its weights, and a whole trained model will."""
    stored = load_config(base).dtype
    return stored if isinstance(stored, torch.dtype) else torch.float32


def save_log(training: Run, folder: Path) -> None:
    """Writes training_log."""
    schema = load_schema("training_log").dtypes
    pl.DataFrame(training.position.rows, schema=schema).write_parquet(folder / "training_log.parquet")


def save_trained(trained: Trainable, folder: Path, stop_ids: list[int], dtype: torch.dtype, base_digest: str) -> None:
    """Writes the weights and where generation stops."""
    model = causal_model(trained)
    set_stop_ids(model, stop_ids)
    if is_adapted(trained):
        save_adapter(trained, folder, base_digest)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(folder)
    else:
        save_full(model, folder, dtype)


def facts(training: Run) -> dict[str, object]:
    """What the receipt says of the training."""
    position, plan, order = training.position, training.plan, training.order
    tokens = int((plan.train.lengths * plan.train.repeats).sum())
    return {
        "steps": position.step,
        "resumed_at_step": training.resumed_at,
        "epochs": round(position.step / order.steps_per_epoch, 3),
        "train_examples": len(plan.train),
        "validation_examples": len(plan.validation),
        "supervised_tokens": position.supervised_tokens,
        "total_tokens": position.total_tokens,
        "pack_fill": round(tokens / (order.packs_per_epoch * plan.params.pack_tokens), 4),
        "trained_weights": sum(weight.numel() for weight in training.weights.values()),
        "all_weights": weight_count(training.model),
        "train_loss": position.rows[-1]["loss"],
        "validation_loss": position.rows[-1]["validation_loss"],
        "best_validation_step": position.best_step,
        "processes": training.team.size,
        "device": str(plan.arithmetic.device),
        "kernels": training.kernels,
        "optimizer": training.optimizer_name,
        "precision": str(plan.arithmetic.dtype).removeprefix("torch."),
        "supervised_tokens_per_second": round(
            training.teller.rate(position.supervised_tokens - training.teller.supervised_before)
        ),
        **plan.foreseen.told(plan.arithmetic.device),
        "out_of_memory_halvings": training.gradients.halvings,
        "told": [
            what_was_trained(training.weights, training.model, position.rows),
            *shortened(training.teller.samples),
        ],
    } | {f"checked_{name}": float(f"{difference:.2g}") for name, difference in training.checked.items()}
