"""Writes the merged weights file by file, with the memory of one file of the base."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from stages.errors import DataError
from stages.merge.deltas import Adapter
from stages.models import INDEX, weight_files


def tensor_names(base: Path) -> set[str]:
    """The names of all tensors in the base's files."""
    names: set[str] = set()
    for path in weight_files(base):
        with safe_open(path, framework="pt") as file:
            names.update(file.keys())
    return names


def match_names(adapter: Adapter, base_names: set[str], inner_model: str, added: set[str]) -> Adapter:
    """The adapter under the names of the base's files, some of which leave out the name of the inner model.

    `added` are tensors that the base need not have. DataError when another one has no counterpart: left out silently, the
    adapter would be without effect.
    """
    stripped = {f"{inner_model}.{name}": name for name in base_names}
    renamed = adapter.renamed(lambda name: name if name in base_names else stripped.get(name, name))
    if unknown := sorted(renamed.names - base_names - added):
        raise DataError(
            f"{len(unknown)} of the {len(renamed.names)} tensors that the adapter changes are not in the base (first: "
            f"{unknown[0]}); give the base that the adapter was trained on"
        )
    return renamed


def write_merged(base: Path, adapter: Adapter, folder: Path) -> None:
    """Writes each weight file of the base with the adapter's changes; tensors new to the base go into the last."""
    files = weight_files(base)
    new = {name: tensor for name, tensor in adapter.replaced.items() if name not in tensor_names(base)}
    places: dict[str, str] = {}
    total_bytes = 0
    for path in files:
        with safe_open(path, framework="pt") as file:
            merged: dict[str, Tensor] = {n: adapter.changed(n, file.get_tensor(n)).contiguous() for n in file.keys()}  # noqa: SIM118 - it is no mapping
        if path == files[-1]:
            dtype = next(iter(merged.values())).dtype
            merged |= {name: tensor.to(dtype) for name, tensor in new.items()}
        save_file(merged, folder / path.name, metadata={"format": "pt"})
        places |= dict.fromkeys(merged, path.name)
        total_bytes += sum(tensor.nbytes for tensor in merged.values())
    if (base / INDEX).is_file():
        index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
