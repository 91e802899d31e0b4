"""The key of an execution: what went in, with which values, through which code. Equal keys mean equal results."""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stages.contract import Params, Stage
from stages.errors import ConfigError
from stages.raw_files.source_files import file_sha256
from stages.store.storage import digest_of

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = (".jinja", ".css")
LAYOUT = 3  # raise it when the runner or the canonical form of tables changes what stands in a result


def key_parts(stage: Stage, params: Params, input_digests: Mapping[str, str], outside: str | None) -> dict[str, Any]:
    """Everything a result depends on, part by part, so that `explain` can say which changed."""
    from stages.schema import load_schema

    datasets = sorted({*input_digests, *stage.outputs})
    return {
        "layout": LAYOUT,
        "stage": stage.name,
        "inputs": dict(sorted(input_digests.items())),
        "params": result_params(params),
        "source": source_digests(stage.name),
        "lock": {stage.image: lock_digest(stage.image)},
        "schemas": {name: load_schema(name).digest for name in datasets},
        "outside": outside,
    }


def key_of(parts: Mapping[str, Any]) -> str:
    return digest_of(parts)


def result_params(params: Params) -> dict[str, Any]:
    """The values that the result depends on: execution-only ones left out, paths replaced by the digest of what is there."""
    stated = params.model_dump(mode="json")
    for name, field in type(params).model_fields.items():
        facts = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if facts.get("execution_only"):
            del stated[name]
        elif facts.get("content") and stated[name] is not None:
            stated[name] = content_digest(str(stated[name]))
    return stated


def content_digest(path_or_name: str) -> str:
    """Digest of a file or folder; a name that is no path here (a built-in, a hub id) stands for itself."""
    path = Path(path_or_name).expanduser()
    if path.is_file():
        return file_sha256(path)
    if path.is_dir():
        return folder_digest(path)
    return path_or_name


def folder_digest(folder: Path) -> str:
    """Digest of the names and bytes of all files below `folder`, hidden ones and the store's manifest left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise ConfigError(f"{folder} holds no files; give the folder of a model or a tokenizer")
    stated = [
        (path.relative_to(folder).as_posix(), file_sha256(path)) for path in files if path.name != "manifest.json"
    ]
    return digest_of(stated)


@cache
def lock_digest(image: str) -> str:
    """Digest of the image's locked requirements: the same in a container and in a plain process."""
    return file_sha256(ROOT / "containers" / "requirements" / f"{image}.txt")


@cache
def source_digests(stage: str) -> dict[str, str]:
    """File -> digest for all files in the stage's folder and every first-party module they import, transitively.

    The templates beside the modules of an imported package belong to it.
    """
    folder = ROOT / "stages" / stage
    waiting = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        name = path.relative_to(ROOT).as_posix()
        if name in found:
            continue
        found[name], imported = _digest_and_imports(path)
        waiting.extend(imported)
        if path.name == "__init__.py":
            waiting.extend(template for suffix in TEMPLATES for template in path.parent.glob(f"*{suffix}"))
    return dict(sorted(found.items()))


@cache
def _digest_and_imports(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Of one file, read once for all stages that share it."""
    source = path.read_bytes()
    imported = tuple(_first_party_imports(source)) if path.suffix == ".py" else ()
    return hashlib.sha256(source).hexdigest(), imported


def _first_party_imports(source: bytes) -> Iterator[Path]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "stages":
            yield from _module_files([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.Import):
            yield from _module_files([alias.name for alias in node.names if alias.name.split(".")[0] == "stages"])


def _module_files(modules: list[str]) -> Iterator[Path]:
    for module in modules:
        base = ROOT.joinpath(*module.split("."))
        candidates = (base.with_suffix(".py"), base / "__init__.py")
        yield from (path for path in candidates if path.is_file())


def differences(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> list[str]:
    """What differs between two key parts, one line each: `params.min_similarity: 0.8 -> 0.9`."""
    lines = []
    for name in sorted({*old, *new}):
        before, after, where = old.get(name), new.get(name), f"{at}{name}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{where}.")
        elif before != after:
            lines.append(f"{where}: {_short(before)} -> {_short(after)}")
    return lines


def _short(value: Any) -> str:
    text = "(absent)" if value is None else str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text
