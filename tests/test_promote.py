"""Given a registry with a champion and a version to judge -> the verdict, and where the aliases point afterwards."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from rows import sealed
from stages.errors import DataError, GateNotPassed, TryAgain
from stages.promote import aliases, job
from stages.promote.stage import PromoteParams
from stages.schema import check_table, load_schema
from stages.tracking import ensure_experiment, open_client
from workbench import lend

pytest_plugins = ["mlflow_database"]

NAME = "temper"
GOOD = {"held_out_loss": 1.0, "stop_rate": 1.0}


class Registry:
    """A registry in the making, and the promote job on it."""

    def __init__(self, folder: Path, tracking_uri: str) -> None:
        self.folder, self.tracking_uri = folder, tracking_uri
        self.client = open_client(tracking_uri)
        self.experiment = ensure_experiment(self.client, tracking_uri, NAME)
        self.client.create_registered_model(NAME)
        self.measured: dict[int, dict[str, float]] = {}
        self.runs = 0
        self.told: list[str] = []

    def register(self, held_out_loss: float, stop_rate: float = 1.0, examples: str = "e1") -> int:
        """A new version with the metrics that `register` would log; its number."""
        run = self.client.create_run(self.experiment)
        model = self.client.create_logged_model(self.experiment, name=NAME, source_run_id=run.info.run_id)
        measured = {"held_out_loss": held_out_loss, "stop_rate": stop_rate}
        for name, value in measured.items():
            metric = Metric(f"tuned/{name}", value, 1, 0, model_id=model.model_id, run_id=run.info.run_id)
            self.client.log_batch(run.info.run_id, metrics=[metric])
        self.client.finalize_logged_model(model.model_id, "READY")
        tags = {"temper.examples_digest": examples}
        made = self.client.create_model_version(NAME, f"models:/{model.model_id}", tags=tags)
        self.measured[int(made.version)] = measured
        return int(made.version)

    def promote(self, version: int, key: str | None = None, **params: Any) -> pl.DataFrame:
        """The verdict on a version, checked against its schema; each version has an execution of its own."""
        self.runs += 1
        place = self.folder / f"promotion-{self.runs}"
        row = {"name": NAME, "version": version, "uri": f"models:/{NAME}/{version}"}
        row |= {"model_digest": "m", "examples_digest": "e", "served_as": "merged", "base_digest": "b"}
        evaluation = [
            {"metric": metric, "model": "tuned", "slice": "all", "value": value, "n": 10}
            for metric, value in self.measured.get(version, GOOD).items()
        ]
        inputs = {
            "model_version": sealed(place / "model_version", "model_version", [row]),
            "evaluation": sealed(place / "evaluation", "evaluation", evaluation),
        }
        (place / "verdict").mkdir()
        bench = lend(place / "scratch", key=key or f"version {version}", tracking_uri=self.tracking_uri)
        self.told = job.run(**inputs, verdict=place / "verdict", params=PromoteParams(**params), workbench=bench)[
            "told"
        ]
        verdict = pl.read_parquet(place / "verdict" / "*.parquet")
        check_table(verdict, load_schema("verdict"), "verdict")
        return verdict

    @property
    def aliases(self) -> dict[str, int]:
        return aliases.read_aliases(self.client, NAME)


@pytest.fixture
def registry(tmp_path: Path, database: str) -> Registry:
    return Registry(tmp_path, database)


def decisions(verdict: pl.DataFrame) -> dict[str, bool]:
    return dict(verdict.select("gate", "passed").rows())


@pytest.mark.slow
def test_the_first_version_that_stops_becomes_champion(registry: Registry) -> None:
    verdict = registry.promote(registry.register(2.0))

    assert verdict.select("gate", "challenger", "champion", "bound", "passed", "promoted").rows() == [
        ("no_worse_than_champion", 2.0, None, None, True, True),
        ("stops_reliably", 1.0, None, 0.9, True, True),
    ]
    assert registry.aliases == {"champion": 1}
    assert registry.told == ["temper version 1: promoted"]


@pytest.mark.slow
def test_a_better_version_takes_over_and_the_old_champion_stays_reachable(registry: Registry) -> None:
    for loss in (2.0, 1.5, 1.0):
        verdict = registry.promote(registry.register(loss))

    assert verdict["champion"].to_list() == [1.5, 1.0]
    assert registry.aliases == {"champion": 3, "previous": 2}
    assert registry.client.get_model_version(NAME, "3").tags["temper.verdict"] == "promoted"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "stop_rate", "failed"),
    [(2.5, 1.0, "no_worse_than_champion"), (1.0, 0.5, "stops_reliably")],
)
def test_a_version_that_fails_a_gate_is_challenger_and_the_champion_stays(
    registry: Registry, loss: float, stop_rate: float, failed: str
) -> None:
    registry.promote(registry.register(2.0))
    verdict = registry.promote(registry.register(loss, stop_rate))

    assert [gate for gate, passed in decisions(verdict).items() if not passed] == [failed]
    assert verdict["promoted"].to_list() == [False, False]
    assert registry.aliases == {"champion": 1, "challenger": 2}
    assert failed in registry.client.get_model_version(NAME, "2").tags["temper.verdict"]
    assert registry.told[0].startswith(f"temper version 2: not promoted ({failed}: ")


@pytest.mark.slow
def test_judging_a_version_again_gives_the_same_verdict(registry: Registry) -> None:
    registry.promote(registry.register(2.0))
    version = registry.register(1.0)
    first, again = registry.promote(version), registry.promote(version)

    assert again.equals(first)
    assert registry.aliases == {"champion": 2, "previous": 1}


@pytest.mark.slow
def test_a_version_that_serves_already_is_compared_with_itself_and_stays(registry: Registry) -> None:
    version = registry.register(2.0)
    registry.promote(version)
    verdict = registry.promote(version, key="another execution")

    assert decisions(verdict) == {"no_worse_than_champion": True, "stops_reliably": True}
    assert "version 1 is the champion already" in verdict["detail"][0]
    assert registry.aliases == {"champion": 1}


@pytest.mark.slow
def test_a_gate_takes_no_serving_version_away(registry: Registry) -> None:
    version = registry.register(2.0, stop_rate=0.95)
    registry.promote(version)
    verdict = registry.promote(version, key="stricter", min_stop_rate=0.99)

    assert verdict["promoted"].to_list() == [False, False]
    assert registry.aliases == {"champion": 1}


@pytest.mark.slow
def test_an_old_pipeline_that_runs_again_does_not_replace_a_better_newer_champion(registry: Registry) -> None:
    old, new = registry.register(2.0), registry.register(1.0)
    registry.promote(old)
    registry.promote(new)
    verdict = registry.promote(old)

    assert decisions(verdict)["no_worse_than_champion"] is False
    assert registry.aliases == {"champion": 2, "previous": 1, "challenger": 1}


@pytest.mark.slow
def test_a_failed_gate_can_stop_the_pipeline_after_the_alias_is_set(registry: Registry) -> None:
    with pytest.raises(GateNotPassed, match=r"stops_reliably: 50\.00% of the answers"):
        registry.promote(registry.register(2.0, stop_rate=0.5), stop_on_failed_gate=True)

    assert registry.aliases == {"challenger": 1}


@pytest.mark.slow
def test_a_version_that_the_registry_does_not_hold_is_named(registry: Registry) -> None:
    with pytest.raises(DataError, match="version 7 of 'temper', which the registry does not hold"):
        registry.promote(7)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the job may catch it."""


# Method, how many calls of it go through, and whether the fatal call does. What stands before one write is what stood
# after the one before it.
POINTS = [
    ("set_model_version_tag", 0, False),
    ("set_model_version_tag", 1, False),
    ("set_registered_model_alias", 0, False),
    ("set_registered_model_alias", 1, False),
    ("delete_registered_model_alias", 0, False),
    ("set_model_version_tag", 2, False),
    ("set_model_version_tag", 2, True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("write", "nth", "after"), POINTS)
def test_a_killed_promotion_is_finished_by_the_next_attempt_with_the_same_verdict(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, write: str, nth: int, after: bool
) -> None:
    registry.promote(registry.register(2.0))
    version = registry.register(2.2)
    registry.promote(version, key="turned down once")
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, write, dying(write, nth, after))
        with pytest.raises(Killed):
            registry.promote(version, max_held_out_loss_increase=0.2)

    verdict = registry.promote(version, max_held_out_loss_increase=0.2)

    assert verdict["champion"].to_list() == [2.0, 1.0]
    assert verdict["promoted"].to_list() == [True, True]
    assert registry.aliases == {"champion": 2, "previous": 1}


def dying(write: str, nth: int, after: bool) -> Any:
    """A method of MLflow whose nth call is the last thing an attempt does, or is not even done."""
    real, calls = getattr(MlflowClient, write), []

    def die(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) <= nth or after:
            real(*args, **kwargs)
        if len(calls) > nth:
            raise Killed

    return die


@pytest.mark.slow
def test_a_promotion_that_another_writer_overtakes_says_so_and_can_be_repeated(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(registry.register(2.0))
    faster, slower = registry.register(1.0), registry.register(1.5)
    record = aliases.record_intent

    def overtaken(*args: Any) -> None:
        record(*args)
        registry.client.set_registered_model_alias(NAME, "champion", str(faster))

    with monkeypatch.context() as patched:
        patched.setattr(aliases, "record_intent", overtaken)
        with pytest.raises(TryAgain, match="another writer moved alias 'champion'"):
            registry.promote(slower)
    assert registry.aliases["champion"] == faster

    assert decisions(registry.promote(slower))["no_worse_than_champion"] is False
    assert registry.aliases["champion"] == faster
