"""What a planned run was not given, all of it told at once, before the first stage starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.contract import Params, Pipeline
from stages.errors import ConfigError
from stages.raw_files.source_files import is_source


def unread_sources(pipeline: Pipeline, params: Mapping[str, Params]) -> set[str]:
    """Sources that a stage could read, and that none does with these values: they need not even exist."""
    left_out = {name for stage in pipeline.stages for name in params[stage.name].inputs_left_out()}
    return left_out - {name for stage in pipeline.stages for name in stage.inputs_read(params[stage.name])}


def refuse_what_is_missing(
    pipeline: Pipeline, params: Mapping[str, Params], found: Mapping[str, Sequence[Path]]
) -> None:
    """Raises ConfigError with every source, setting and path that a run needs and was not given."""
    made = {name for stage in pipeline.stages for name in stage.outputs}
    needed = {name for s in pipeline.stages for name in (*s.inputs, *params[s.name].inputs_needed())} - made
    problems = [f"source {name} is not given (--source {name}=<path>)" for name in sorted(needed - set(found))]
    problems += [
        f"{stage.name}.{name} is not given (--set {stage.name}.{name}=<value>, or in the profile)"
        for stage in pipeline.stages
        for name in params[stage.name].settings_needed()
    ]
    problems += [f"{stage.name}.{told}" for stage in pipeline.stages for told in params[stage.name].lacking_in(params)]
    problems += [f"{stage.name}.{told}" for stage in pipeline.stages for told in params[stage.name].misplaced()]
    problems += [
        f"{stage.name}.{name}: {value} does not exist; correct the path"
        for stage in pipeline.stages
        for name, value in params[stage.name]
        if _is_path(stage.params, name, value) and not Path(value).expanduser().exists()
    ]
    problems += [
        f"source {name}: {path} does not exist; correct the path"
        for name, paths in found.items()
        for path in paths
        if not is_source(path)
    ]
    problems += [
        f"source base: {path} holds no config.json, so it is no model; give the folder of a model (config.json, "
        f"*.safetensors, tokenizer)"
        for path in found.get("base", ())
        if is_source(path) and not (path.expanduser() / "config.json").is_file()
    ]
    if problems:
        raise ConfigError(f"pipeline {pipeline.name}: {'; '.join(problems)}")


def _is_path(params: type[Params], name: str, value: Any) -> bool:
    """Whether the value names a place on this disk, and nothing else: a word alone may be a hub id or a built-in."""
    facts: Any = params.model_fields[name].json_schema_extra or {}
    return bool(facts.get("content")) and isinstance(value, str) and value.startswith(("/", "./", "../", "~"))
