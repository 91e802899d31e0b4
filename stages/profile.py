"""What a run changes: defaults -> profile -> overrides, all of it checked before anything runs. Light: no polars."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from stages.contract import Params, Pipeline, Stage
from stages.errors import ConfigError
from stages.near_names import did_you_mean

FOLDER = Path(__file__).resolve().parent.parent / "dags" / "profiles"


class Profile(NamedTuple):
    """A named set of values: where the sources are, and parameters by stage."""

    name: str
    description: str
    sources: dict[str, list[str]]
    stages: dict[str, dict[str, Any]]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which no key stands twice: the first of two blocks of one stage would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.MarkedYAMLError(problem=f"{twice!r} stands twice in one mapping", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


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
        known = profile_names()
        raise ConfigError(
            f"no profile {name_or_path!r}; give a .yaml file or one of {', '.join(known)}{did_you_mean(name_or_path, known, before='; ')}"
        )
    return _read(path)


def _read(path: Path) -> Profile:
    try:
        stated = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
        if not isinstance(stated, dict):
            raise ConfigError(f"profile {path} is not a mapping; a profile has description, sources and stages")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"profile {path} is not YAML: {_yaml_fault(error)}; correct the file") from error
    shape = {"description": str, "sources": dict, "stages": dict}
    called = {str: "text", dict: "a mapping"}
    wrong = [f"{name!r} is no part of a profile" for name in stated if name not in shape]
    mistyped = [name for name, kind in shape.items() if not isinstance(stated.get(name, kind()), kind)]
    wrong += [f"{name!r} must be {called[shape[name]]}" for name in mistyped]
    if "stages" not in mistyped:
        wrong += [
            f"stages.{name} must be a mapping"
            for name, v in stated.get("stages", {}).items()
            if not isinstance(v, dict)
        ]
    if "sources" not in mistyped:
        wrong += [
            f"sources.{name} must be a path or a list of paths"
            for name, paths in stated.get("sources", {}).items()
            if not _are_paths(paths)
        ]
    if wrong:
        raise ConfigError(f"profile {path}: {'; '.join(wrong)}; a profile has description, sources and stages")
    sources = {
        name: [paths] if isinstance(paths, str) else list(paths) for name, paths in stated.get("sources", {}).items()
    }
    return Profile(path.stem, stated.get("description", ""), sources, stated.get("stages", {}))


def _yaml_fault(error: Exception) -> str:
    """What is wrong, and where in the file."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', error)}"


def _are_paths(stated: Any) -> bool:
    return isinstance(stated, str) or (isinstance(stated, list) and all(isinstance(path, str) for path in stated))


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
    problems = [f"no stage {name!r} (stages: {', '.join(known_stages)}{did_you_mean(str(name), known_stages, before='; ')})"
                for name in {**profile.stages, **overrides} if name not in known_stages]  # fmt: skip
    resolved = {}
    for stage in stages:
        stated = _with(profile.stages.get(stage.name, {}), overrides.get(stage.name, {}))
        try:
            resolved[stage.name] = stage.params(**stated)
        except ValidationError as error:
            problems += [_problem(stage, fault) for fault in error.errors()]
        except TypeError:
            problems.append(f"{stage.name}: parameter names must be text")
    if problems:
        stated = {f"profile {profile.name}": profile.stages, "--set": any(overrides.values())}
        where = " or ".join(place for place, is_used in stated.items() if is_used)
        raise ConfigError(
            f"{'; '.join(problems)}; correct {where} (python -m stages describe <stage> tells what it may be)"
        )
    return resolved


def _with(stated: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`stated` with other values; `by_task.code.max_symbol_share` names one value in a mapping and leaves its others."""
    made = dict(stated)
    for name, value in overrides.items():
        head, dot, rest = name.partition(".") if isinstance(name, str) else (name, "", "")
        inner = made.get(head)
        made[head] = _with(inner if isinstance(inner, dict) else {}, {rest: value}) if dot else value
    return made


BELONGS_HERE = {
    "tuple_type": "a list belongs here, such as [a, b]",
    "list_type": "a list belongs here, such as [a, b]",
    "dict_type": "a mapping belongs here, such as {name: value}",
}


def _problem(stage: Stage, fault: Mapping[str, Any]) -> str:
    name = ".".join([stage.name, *(str(part) for part in fault["loc"])])
    if name.endswith(".[key]"):
        return f"{name.removesuffix('.[key]')}: {fault['msg'].replace('Input', 'the name')}"
    if fault["type"] == "extra_forbidden":
        known = list(stage.params.model_fields)
        meant = did_you_mean(str(fault["loc"][-1]), known, behind=" ")
        return f"{name} is no parameter ({meant}parameters: {', '.join(known) or 'none'})"
    told = BELONGS_HERE.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    return f"{name} = {fault['input']!r}: {told}" if fault["loc"] else f"{name}: {told}"


def resolve_sources(
    pipeline: Pipeline, profile: Profile, overrides: Mapping[str, Sequence[str]], known_sources: Collection[str]
) -> dict[str, tuple[Path, ...]]:
    """Paths of the pipeline's sources that a profile or a command names; ConfigError for names it does not have.

    `known_sources` are those that a profile may speak of, also where this pipeline reads none such.
    """
    if unknown := sorted(set(profile.sources) - set(known_sources)):
        meant = did_you_mean(unknown[0], known_sources, before=" (", behind=")")
        raise ConfigError(f"profile {profile.name} names {', '.join(unknown)}{meant}, which no pipeline reads; the sources are "
                          f"{', '.join(sorted(known_sources))}")  # fmt: skip
    optional = {name for stage in pipeline.stages for name in stage.optional_inputs}
    known = {*pipeline.sources, *optional}
    if unknown := sorted(set(overrides) - known):
        raise ConfigError(f"pipeline {pipeline.name} has no source {', '.join(unknown)}; its sources are "
                          f"{', '.join(pipeline.sources)}{did_you_mean(unknown[0], pipeline.sources, before='; ')}")  # fmt: skip
    named = {**profile.sources, **overrides}
    return {name: tuple(Path(path) for path in paths) for name, paths in named.items() if name in known}
