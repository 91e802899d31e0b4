"""Puts the sections together and renders them: whatever the given tables can tell, and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.pages import formats, svg
from stages.pages.frame import environment
from stages.report.distributions import signals_of
from stages.report.evaluation import comparisons_of, generations_of
from stages.report.funnel import Step, files_of, steps_of
from stages.report.reasons import SetAside, set_aside_of
from stages.report.release import gates_of, model_version_of
from stages.report.sources import sources_of
from stages.report.spread import makeups_of, spreads_of
from stages.report.stage import ReportParams
from stages.report.summaries import summary_of
from stages.report.thresholds import curves_of
from stages.report.training import splits_of, token_chart, training_of
from stages.store.queries import Tables, count_rows


class Section(NamedTuple):
    """A part of the page."""

    title: str
    table: str  # without which it cannot be there; of several that can stand for each other, the first


SECTIONS = {
    "funnel": Section("Funnel", "conversations"),
    "sources": Section("Sources", "conversations"),
    "spreads": Section("Lengths", "conversations"),
    "makeups": Section("Kinds", "conversations"),
    "duplicates": Section("Duplicates", "duplicates"),
    "contaminated": Section("Contamination", "contaminated"),
    "reasons": Section("Set aside", "quarantined"),
    "thresholds": Section("What if", "scored"),
    "signals": Section("Signals", "scored"),
    "mix": Section("Mix", "mix_summary"),
    "tokens": Section("Tokens", "examples"),
    "training": Section("Training", "training_log"),
    "evaluation": Section("Evaluation", "evaluation"),
    "answers": Section("Answers", "generations"),
    "version": Section("Model version", "model_version"),
    "gates": Section("Gates", "verdict"),
}
SOURCES_SHOWN = 40


class Page(NamedTuple):
    """The page and the names of the sections on it."""

    html: str
    sections: list[str]


def render(tables: Tables, digests: Mapping[str, str], params: ReportParams) -> Page:
    """The page for `tables`; a section whose tables are absent or empty is left out. Equal input gives equal bytes."""
    found = _sections(tables, params)
    shown = [name for name in SECTIONS if found[name] or (name == "contaminated" and found["evals"])]
    data = [(name, count_rows(table), digests.get(name, "")[:12]) for name, table in sorted(tables.items())]
    template = environment(Path(__file__).parent).get_template("page.html.jinja")
    facts = {
        "shown": shown,
        "absent": _absent(shown, tables),
        "titles": {name: section.title for name, section in SECTIONS.items()},
        "data": data,
        "tiles": _tiles(found),
        "sources_shown": SOURCES_SHOWN,
    }
    html = template.render(found | facts, params=params)
    return Page(html, shown)


def _absent(shown: list[str], tables: Tables) -> dict[str, list[str]]:
    """Why sections are not on the page -> their titles."""
    lacking = [section for name, section in SECTIONS.items() if name not in shown]
    not_made = [f"{section.title} ({section.table})" for section in lacking if section.table not in tables]
    empty = [section.title for section in lacking if section.table in tables]
    return {"the tables in brackets were not given": not_made, "there is no row to show": empty}


def _sections(tables: Tables, params: ReportParams) -> dict[str, Any]:
    steps = steps_of(tables)
    return {
        "funnel": [(step, _funnel_bar(step, steps)) for step in steps],
        "files": files_of(tables),
        "sources": sources_of(tables),
        "spreads": spreads_of(tables),
        "makeups": makeups_of(tables),
        **_set_aside_sections(set_aside_of(tables, params)),
        "evals": summary_of(tables, "decontamination"),
        "filtered": "kept" in tables,
        "thresholds": curves_of(tables, params),
        "signals": signals_of(tables),
        "mix": summary_of(tables, "mix_summary"),
        "tokens": splits_of(tables),
        "token_chart": token_chart(tables),
        "training": training_of(tables),
        "evaluation": comparisons_of(tables),
        "answers": generations_of(tables, params),
        "version": model_version_of(tables),
        "gates": gates_of(tables),
    }


def _funnel_bar(step: Step, steps: list[Step]) -> str:
    """What a stage kept and what it set aside, on the scale of the most rows that any stage saw."""
    most = max(max(each.entered or 0, each.kept + (each.set_aside or 0)) for each in steps) or 1
    aside = step.set_aside or 0
    parts = [
        svg.Part(step.kept / most, "kept", f"{step.kept:,} kept"),
        svg.Part(aside / most, "aside", f"{aside:,} set aside"),
    ]
    return svg.bar(parts, f"{step.decision.stage}: {step.kept:,} kept, {aside:,} set aside")


def _set_aside_sections(parts: list[SetAside]) -> dict[str, list[SetAside]]:
    """What was set aside for another row or for an evaluation item has a section of its own."""
    own = ("duplicates", "contaminated")
    sections = {name: [part for part in parts if part.dataset == name] for name in own}
    return sections | {"reasons": [part for part in parts if part.dataset not in own]}


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few numbers that everybody asks for first."""
    tiles = []
    if found["funnel"]:
        first, last = found["funnel"][0][0], found["funnel"][-1][0]
        if found["files"].read:
            tiles.append(("files", formats.count(found["files"].read)))
        tiles.append((first.decision.keeps, formats.count(first.kept)))
        tiles.append((f"left after {last.decision.stage}", formats.count(last.kept)))
    if found["tokens"]:
        tiles.append(("supervised tokens", formats.short(sum(split.supervised_tokens for split in found["tokens"]))))
    if found["training"] and found["training"].validation:
        tiles.append(("lowest validation loss", formats.number(found["training"].validation[1])))
    if found["version"]:
        name, version = (value for column, _, value in found["version"] if column in ("name", "version"))
        tiles.append(("model version", f"{name} {version}"))
    if found["gates"]:
        tiles.append(("gates", "promoted" if found["gates"][0].promoted else "not promoted"))
    return tiles
