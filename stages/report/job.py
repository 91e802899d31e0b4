"""Reads what the stages of a run left and writes one page about it."""

from pathlib import Path

from stages.contract import Workbench
from stages.report.page import render
from stages.report.stage import ReportParams
from stages.store.tables import read_table

FILE = "report.html"


def run(  # noqa: PLR0913 - one argument per table that a page can be about
    *, report: Path, params: ReportParams, workbench: Workbench,
    conversations: Path | None = None, quarantined: Path | None = None, unique: Path | None = None,
    duplicates: Path | None = None, scored: Path | None = None, rated: Path | None = None,
    kept: Path | None = None, rejected: Path | None = None,
    clean: Path | None = None, contaminated: Path | None = None,
    decontamination: Path | None = None, mixture: Path | None = None,
    left_out: Path | None = None, mix_summary: Path | None = None, examples: Path | None = None, refused: Path | None = None,
    training_log: Path | None = None, evaluation: Path | None = None, generations: Path | None = None,
    model_version: Path | None = None, verdict: Path | None = None,
) -> dict[str, object]:  # fmt: skip
    """Writes report.html into `report`; every input may be absent. Memory does not grow with the number of rows."""
    given = {
        "conversations": conversations, "quarantined": quarantined, "unique": unique, "duplicates": duplicates,
        "scored": scored, "rated": rated, "kept": kept, "rejected": rejected, "clean": clean, "contaminated": contaminated,
        "decontamination": decontamination, "mixture": mixture, "left_out": left_out, "mix_summary": mix_summary, "examples": examples, "refused": refused,
        "training_log": training_log, "evaluation": evaluation, "generations": generations,
        "model_version": model_version, "verdict": verdict,
    }  # fmt: skip
    tables = {name: read_table(folder) for name, folder in given.items() if folder is not None}
    page = render(tables, workbench.input_digests, params)
    written = (report / FILE).write_bytes(page.html.encode())
    return {"sections": page.sections, "bytes": written}
