"""Registers the model of one execution: plain files, lineage tags, metrics and a model card, once however often it runs."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from stages.contract import Workbench
from stages.modelling.served_model import ServedModel, read_served
from stages.register.model_card import write_card
from stages.register.registration import Registration, find_version, link_version, make_version
from stages.register.safe_files import refuse_unsafe_files
from stages.register.stage import RegisterParams
from stages.store.tables import read_table
from stages.texts.private_data import masked
from stages.tracking import ensure_experiment, ensure_run, metric_name, open_client, registry_calls

CARD = "README.md"


def run(  # noqa: PLR0913 - the datasets of the stage
    model: Path,
    evaluation: Path,
    examples: Path,
    *,
    adapter: Path | None = None,
    training_log: Path | None = None,
    generations: Path | None = None,
    decontamination: Path | None = None,
    model_version: Path,
    params: RegisterParams,
    workbench: Workbench,
) -> dict[str, Any]:
    """Writes the one row of `model_version`: the version that this execution made now or in an earlier attempt.

    The logged model holds the model's files at the top, where `from_pretrained` and servers look, its card, and the
    other datasets in a folder each. Raises DataError for files that could run code, ServiceUnavailable without MLflow.
    """
    logs = {"training_log": training_log, "decontamination": decontamination}
    shown = _without_private_data(generations, workbench.scratch / "generations")
    evidence = {"adapter": adapter, "evaluation": evaluation, "generations": shown, **logs}
    folders = [("", model), *((name, folder) for name, folder in evidence.items() if folder is not None)]
    refuse_unsafe_files(folder for _, folder in folders)
    measured, served = read_table(evaluation).collect(), read_served(model)
    card = _write_card_folder(params, workbench, served, examples, measured, logs)
    wanted = Registration(
        name=params.name,
        key=workbench.key,
        # The card comes last, over any README that the model's folder has.
        folders=[*folders, ("", card)],
        metrics=_metrics(measured),
        tags=_tags(served, workbench),
        description=f"Supervised fine-tuning, execution {workbench.key[:12]}; see {CARD} in its files",
    )
    version, is_new = _register(wanted, params, workbench.tracking_uri)
    _write_row(version, served, workbench, params, model_version)
    told = [f"{params.name} version {version}{'' if is_new else ', registered by an earlier attempt'}"]
    return {"version": version, "registered_now": is_new, "told": told}


def _without_private_data(generations: Path | None, folder: Path) -> Path | None:
    """The answers side by side as people read them beside the model; the table itself holds them as they are."""
    if generations is None:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = pl.col("prompt", "reference", "base_answer", "tuned_answer")
    read = read_table(generations).collect().with_columns(texts.map_batches(masked, return_dtype=pl.String))
    read.write_parquet(folder / "part-00000.parquet")
    return folder


def _metrics(measured: pl.DataFrame) -> dict[str, float]:
    rows = measured.select("metric", "model", "slice", "value").rows()
    return {metric_name(metric, model, part): value for metric, model, part, value in rows}


def _tags(served: ServedModel, workbench: Workbench) -> dict[str, str]:
    """The digests of what went in, and what the files are: who serves a version looks here first."""
    digests = {f"temper.{name}_digest": digest for name, digest in workbench.input_digests.items()}
    if served.base_digest is not None:
        digests["temper.base_digest"] = served.base_digest
    return dict(sorted(digests.items())) | {"temper.served_as": served.form}


def _register(wanted: Registration, params: RegisterParams, tracking_uri: str) -> tuple[int, bool]:
    """The version's number, and whether it was made just now."""
    client = open_client(tracking_uri)
    with registry_calls(tracking_uri):
        found = find_version(client, wanted.name, wanted.key)
        if found is None:
            experiment = ensure_experiment(client, tracking_uri, params.experiment)
            made = make_version(client, ensure_run(client, experiment, f"register {wanted.name}", wanted.key), wanted)
        version = found or find_version(client, wanted.name, wanted.key) or made
        link_version(client, version)
        return int(version.version), found is None


def _write_card_folder(
    params: RegisterParams,
    workbench: Workbench,
    served: ServedModel,
    examples: Path,
    measured: pl.DataFrame,
    logs: dict[str, Path | None],
) -> Path:
    folder = workbench.scratch / "card"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    columns = ["row_id", "source", "split", "input_ids", "loss_mask"]
    told = {name: read_table(folder).collect() for name, folder in logs.items() if folder is not None}
    rows = read_table(examples).select(columns)
    text = write_card(params.name, served, rows, measured, told, workbench.input_digests)
    (folder / CARD).write_text(text, encoding="utf-8")
    return folder


def _write_row(version: int, served: ServedModel, workbench: Workbench, params: RegisterParams, folder: Path) -> None:
    row = {
        "name": params.name,
        "version": version,
        "uri": f"models:/{params.name}/{version}",
        "model_digest": workbench.input_digests["model"],
        "examples_digest": workbench.input_digests["examples"],
        "served_as": served.form,
        "base_digest": served.base_digest,
    }
    pl.DataFrame([row], schema_overrides={"base_digest": pl.String}).write_parquet(folder / "part-00000.parquet")
