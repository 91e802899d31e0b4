"""What `make demo` ends with: the funnel, base and tuned side by side, the model version, the report, what to try next."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from infra.demo.recall import share_of_capitals_recalled
from infra.demo.world import read_world
from stages.execution.lineage import ledger_text
from stages.execution.runs import Run, find_run, stage_outputs
from stages.store.storage import LocalStore
from stages.store.tables import read_table

SHOWN_ANSWERS = 5
RATES = ("held_out_loss", "stop_rate", "exact_match_rate", "plain_text_loss")


def summary(folder: Path, root: Path, *, seconds: float) -> str:
    """The text, from the newest finished runs of curate and tune in the store at `root`."""
    store = LocalStore(root)
    curate, tune = (_newest(store, pipeline) for pipeline in ("curate", "tune"))
    made = {name: paths[0] for name, paths in stage_outputs(tune).items()}
    world = read_world(folder / "world.json")
    recalled = share_of_capitals_recalled(folder / "base" / "model", world)
    parts = [
        "", "== rows, stage by stage", ledger_text(curate), "", ledger_text(tune),
        "", "== base and tuned, side by side", *_answers(made["generations"]),
        "", "== measured", *_rates(made["evaluation"]),
        f"base completes \"The capital of X is\" for {recalled:.1%} of {len(world.countries)} countries",
        "", "== model version", *_version(made),
        "", f"report: {made['report'] / 'report.html'}", f"took {seconds:.0f} s",
        "", "next: python -m stages trace <row_id> | explain filter | ledger, with .venv/bin/python",
        "      make run SOURCE=<your file or folder>   the same on your own data",
        "      make up                                 Airflow and MLflow with their pages",
    ]  # fmt: skip
    return "\n".join(parts)


def _newest(store: LocalStore, pipeline: str) -> Run:
    plans = sorted(store.root.glob(f"runs/*{pipeline}*/report.json" if pipeline == "tune" else f"runs/*{pipeline}*/tokenize.json"),
                   key=lambda path: path.stat().st_mtime_ns)  # fmt: skip
    return find_run(store, plans[-1].parent.name)


def _answers(generations: Path) -> Iterator[str]:
    for row in read_table(generations).head(SHOWN_ANSWERS).collect().iter_rows(named=True):
        yield f"Q      {_line(row['prompt'])}"
        yield f"base   {_line(row['base_answer'])}{'' if row['base_stopped'] else ' … (does not stop)'}"
        yield f"tuned  {_line(row['tuned_answer'])}{'' if row['tuned_stopped'] else ' … (does not stop)'}\n"


def _line(text: str, width: int = 100) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def _rates(evaluation: Path) -> Iterator[str]:
    table = read_table(evaluation).filter(pl.col("slice") == "all").collect()
    for metric in RATES:
        values = dict(table.filter(pl.col("metric") == metric).select("model", "value").rows())
        if values:
            yield f"{metric:<18} base {values.get('base', float('nan')):.3f}   tuned {values.get('tuned', float('nan')):.3f}"


def _version(made: dict[str, Path]) -> Iterator[str]:
    row = read_table(made["model_version"]).collect().to_dicts()[0]
    gates = read_table(made["verdict"]).collect()
    yield f"MLflow model {row['name']} version {row['version']} ({row['uri']})"
    yield f"{'promoted to alias champion' if gates['promoted'].all() else 'not promoted'}: " + ", ".join(
        f"{gate['gate']} {'passed' if gate['passed'] else 'failed'}" for gate in gates.iter_rows(named=True))  # fmt: skip
