"""What a run changes: defaults -> profile -> overrides, all of it checked before anything runs. Light: no polars."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from stages.contract import Params, Pipeline, Stage
from stages.errors import ConfigError

FOLDER = Path(__file__).resolve().parent.parent / "dags" / "profiles"


class Profile(NamedTuple):
    """A named set of values: where the sources are, and parameters by stage."""

    name: str
    description: str
    sources: dict[str, list[str]]
    stages: dict[str, dict[str, Any]]


def profile_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_profile(name_or_path: str | None) -> Profile:
    """The profile of that name in dags/profiles, or in that file; without a name, one that changes nothing."""
    if name_or_path is None:
        return Profile("default", "every parameter at its default", {}, {})
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        raise ConfigError(f"no profile {name_or_path!r}; give a .yaml file or one of {', '.join(profile_names())}")
    return _read(path)


def _read(path: Path) -> Profile:
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(stated, dict):
            raise ConfigError(f"profile {path} is not a mapping; a profile has description, sources and stages")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"profile {path} is not YAML: {error}") from error
    shape = {"description": str, "sources": dict, "stages": dict}
    wrong = [f"{name!r} is no part of a profile" for name in stated if name not in shape]
    mistyped = [name for name, kind in shape.items() if not isinstance(stated.get(name, kind()), kind)]
    wrong += [f"{name!r} must be a {shape[name].__name__}" for name in mistyped]
    if "stages" not in mistyped:
        wrong += [
            f"stages.{name} must be a mapping"
            for name, v in stated.get("stages", {}).items()
            if not isinstance(v, dict)
        ]
    if wrong:
        raise ConfigError(f"profile {path}: {'; '.join(wrong)}; a profile has description, sources and stages")
    sources = {
        name: [paths] if isinstance(paths, str) else list(paths) for name, paths in stated.get("sources", {}).items()
    }
    return Profile(path.stem, stated.get("description", ""), sources, stated.get("stages", {}))


def parse_value(text: str) -> Any:
    """A value from the command line, read as YAML: `0.8`, `null`, `true`, `[a, b]`, `{a: 1}`, else text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def resolve_params(
    stages: Sequence[Stage], profile: Profile, overrides: Mapping[str, Mapping[str, Any]], known_stages: Sequence[str]
) -> dict[str, Params]:
    """Parameters of every stage. Raises one ConfigError with everything wrong in the profile and the overrides.

    `known_stages` are the stages that a profile may speak of, also those that this run does not have.
    """
    problems = [f"no stage {name!r} (stages: {', '.join(known_stages)})"
                for name in {**profile.stages, **overrides} if name not in known_stages]  # fmt: skip
    resolved = {}
    for stage in stages:
        stated = {**profile.stages.get(stage.name, {}), **overrides.get(stage.name, {})}
        try:
            resolved[stage.name] = stage.params(**stated)
        except ValidationError as error:
            problems += [_problem(stage, fault) for fault in error.errors()]
        except TypeError:
            problems.append(f"{stage.name}: parameter names must be text")
    if problems:
        raise ConfigError("; ".join(problems))
    return resolved


def _problem(stage: Stage, fault: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{stage.name}.{name} is no parameter (parameters: {', '.join(stage.params.model_fields) or 'none'})"
    return f"{stage.name}.{name} = {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}"


def resolve_sources(
    pipeline: Pipeline, profile: Profile, overrides: Mapping[str, Sequence[str]]
) -> dict[str, tuple[Path, ...]]:
    """Paths of the pipeline's sources that a profile or a command names; ConfigError for names it does not have."""
    optional = {name for stage in pipeline.stages for name in stage.optional_inputs}
    known = {*pipeline.sources, *optional}
    if unknown := sorted(set(overrides) - known):
        raise ConfigError(
            f"pipeline {pipeline.name} has no source {', '.join(unknown)}; its sources are {', '.join(pipeline.sources)}"
        )
    named = {**profile.sources, **overrides}
    return {name: tuple(Path(path) for path in paths) for name, paths in named.items() if name in known}
