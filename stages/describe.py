"""Says in words what the stages, datasets and pipelines are; every text is made from the declarations. Light."""

import json
from collections.abc import Iterator
from typing import Any

from stages.contract import Params, Pipeline, Stage

BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}


def stage_table(pipeline: Pipeline) -> str:
    """The stages as a Markdown table, in reading order: it stands in the README."""
    rows = ["| stage | purpose | reads | makes |", "|---|---|---|---|"]
    for stage in pipeline.stages:
        rows.append(f"| `{stage.name}` | {stage.purpose} | {_datasets(_read(stage))} | {_datasets(stage.outputs)} |")
    return "\n".join(rows)


def _read(stage: Stage) -> tuple[str, ...]:
    return (*stage.inputs, *stage.optional_inputs) if stage.inputs else ("every dataset of the run",)


def _datasets(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def stage_list(pipeline: Pipeline) -> str:
    """One line a stage: name, kind, image and purpose."""
    width = max(len(stage.name) for stage in pipeline.stages)
    return "\n".join(f"{s.name:<{width}}  {s.kind:<5}  {s.image:<5}  {s.purpose}" for s in pipeline.stages)


def graph(pipeline: Pipeline) -> str:
    """The pipeline as a Mermaid flowchart: stages, and the datasets that flow between them."""
    lines = ["flowchart LR"]
    for stage in pipeline.stages:
        read = (*stage.inputs, *(stage.optional_inputs if stage.inputs else ()))
        lines += [f"  {name}[/{name}/] --> {stage.name}" for name in read if name in pipeline.sources]
        for earlier in pipeline.upstream(stage):
            lines += [f"  {earlier.name} -->|{name}| {stage.name}" for name in earlier.outputs if name in read]
    return "\n".join(lines)


def stage_page(stage: Stage) -> str:
    """Everything about one stage: what it reads and makes, and its parameters with defaults, ranges and units."""
    lines = [f"{stage.name}: {stage.purpose}", ""]
    lines += [
        f"  kind     {stage.kind} (stages/{stage.name}/{'job' if stage.kind == 'job' else 'transform'}.py, image {stage.image})"
    ]
    lines += [f"  reads    {_datasets(stage.inputs) or '-'}"]
    if stage.optional_inputs:
        lines += [f"  optional {_datasets(stage.optional_inputs)}"]
    lines += [
        f"  makes    {_datasets(stage.outputs)}" + (f" (one of {' or '.join(stage.either)})" if stage.either else "")
    ]
    if stage.sets_aside:
        lines += [f"  balance  {stage.decided} = {stage.keeps} + {stage.sets_aside}, row by row"]
    return "\n".join([*lines, "", "parameters (--set name=value):", *param_lines(stage.params)])


def param_lines(params: type[Params]) -> list[str]:
    """A line per parameter: name, default, range, unit, description."""
    return [_param_line(name, facts) for name, facts in params_of(params)] or ["  none"]


def _param_line(name: str, facts: dict[str, Any]) -> str:
    notes = [f"default {facts['default']}", *facts["bounds"]]
    if facts["unit"]:
        notes.append(facts["unit"])
    return f"  {name:<28} {facts['description']} ({'; '.join(notes)})"


def params_of(params: type[Params]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name -> default, bounds, unit and description of each parameter, in declared order."""
    properties = params.model_json_schema()["properties"]
    for name, field in params.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        bounds = [
            f"{sign} {getattr(rule, key)}"
            for rule in field.metadata
            for key, sign in BOUNDS.items()
            if hasattr(rule, key)
        ]
        bounds += [f"{told} {', '.join(choices)}" for told, choices in _choices(properties[name]) if choices]
        default = json.dumps(field.get_default(), default=str)
        yield (
            name,
            {"default": default, "bounds": bounds, "unit": extra.get("unit"), "description": field.description or ""},
        )


def _choices(stated: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """What may be stated: values, values of a list, names in a mapping."""
    variants = [stated, *stated.get("anyOf", [])]
    for told, part in (("one of", None), ("any of", "items"), ("for", "propertyNames")):
        of_part = [variant.get(part, {}) if part else variant for variant in variants]
        yield told, [str(value) for found in of_part if isinstance(found, dict) for value in found.get("enum", [])]


def dataset_page(name: str) -> str:
    """One dataset: grain, key, columns and checks, from its schema."""
    from stages.schema import load_schema

    schema = load_schema(name)
    lines = [f"{name}: {schema.title}", "", f"  kind   {schema.kind}", f"  grain  {schema.grain}"]
    if schema.kind != "table":
        return "\n".join(lines)
    lines += [f"  key    {', '.join(schema.key)}", "", "columns:"]
    for column in schema.columns:
        notes = [column.type] + ["may be null"] * column.nullable + [f"in {column.unit}"] * bool(column.unit)
        lines.append(f"  {column.name:<24} {column.description} ({'; '.join(notes)})")
    lines += ["", "checks:"] + [f"  {check.name:<24} {check.sql}: {check.why}" for check in schema.checks]
    return "\n".join(lines)
