"""The registered model version, and what the gates said about it."""

from typing import NamedTuple

from stages.schema import load_schema
from stages.store.queries import Tables, fetch


class Gate(NamedTuple):
    """One gate's verdict; the numbers are None where they were not measured or there was nothing to compare with."""

    gate: str
    metric: str
    challenger: float | None
    champion: float | None
    bound: float | None
    passed: bool
    promoted: bool
    detail: str


def model_version_of(tables: Tables) -> list[tuple[str, str, object]]:
    """(column, what it means, value) of the version."""
    if "model_version" not in tables:
        return []
    meanings = {column.name: column.description for column in load_schema("model_version").columns}
    rows = fetch(tables["model_version"].head(1)).to_dicts()
    return [(name, meaning, row[name]) for row in rows for name, meaning in meanings.items()]


def gates_of(tables: Tables) -> list[Gate]:
    """One per gate, by name."""
    if "verdict" not in tables:
        return []
    return [Gate(*row) for row in fetch(tables["verdict"].select(Gate._fields)).sort("gate").rows()]
