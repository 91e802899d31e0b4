"""Judges one registered version against the champion and acts on it. Running it again for a judged version is safe."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from stages.contract import Workbench
from stages.errors import GateNotPassed
from stages.promote import aliases
from stages.promote.gates import Gate, judge
from stages.promote.stage import PromoteParams
from stages.schema import load_schema
from stages.store.tables import read_table
from stages.tracking import open_client, registry_calls

NUMBERS = {"challenger": pl.Float64, "champion": pl.Float64, "bound": pl.Float64}  # also where all of them are null


def run(
    model_version: Path, evaluation: Path, *, verdict: Path, params: PromoteParams, workbench: Workbench
) -> dict[str, Any]:
    """Writes one row per gate. Passed: the version becomes champion; not passed: challenger, and the champion stays.

    Raises GateNotPassed only with `stop_on_failed_gate`, TryAgain when another writer moved the aliases meanwhile.
    """
    row = read_table(model_version).collect().row(0, named=True)
    measured = _measured(evaluation)
    client = open_client(workbench.tracking_uri)
    with registry_calls(workbench.tracking_uri):
        challenger = aliases.find_challenger(client, row["name"], row["version"], workbench.key)
        champion = aliases.read_aliases(client, challenger.name).get(params.champion_alias)
        rival = aliases.rival_version(challenger, champion)
        gates = judge(measured, aliases.describe_rival(client, challenger, rival), params)
        promoted = all(gate.passed for gate in gates)
        aliases.record_intent(client, challenger, rival)
        if promoted:
            aliases.promote(client, challenger, rival, params)
        else:
            aliases.turn_down(client, challenger, params)
        summary = _summary(gates)
        client.set_model_version_tag(challenger.name, str(challenger.version), aliases.VERDICT_TAG, summary)
    _write(gates, promoted, verdict)
    if params.stop_on_failed_gate and not promoted:
        raise GateNotPassed(f"version {challenger.version} of {challenger.name!r} is {summary}; the champion stays")
    told = [f"{challenger.name} version {challenger.version}: {summary}"]
    return {"promoted": promoted, "version": challenger.version, "compared_with": rival, "told": told}


def _write(gates: list[Gate], promoted: bool, folder: Path) -> None:
    rows = pl.DataFrame([asdict(gate) | {"promoted": promoted} for gate in gates], schema_overrides=NUMBERS)
    rows.select(list(load_schema("verdict").dtypes)).write_parquet(folder / "part-00000.parquet")


def _measured(evaluation: Path) -> dict[str, float]:
    """The metrics of the tuned model over all slices."""
    whole = read_table(evaluation).filter(model="tuned", slice="all").select("metric", "value").collect()
    return dict(whole.rows())


def _summary(gates: list[Gate]) -> str:
    failed = "; ".join(f"{gate.gate}: {gate.detail}" for gate in gates if not gate.passed)
    return f"not promoted ({failed})" if failed else "promoted"
