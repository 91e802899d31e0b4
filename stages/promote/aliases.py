"""Reads and moves aliases of a registered model.

MLflow moves an alias without asking what it pointed to: there is no compare-and-swap. So a move looks right before and
right after; between the two another writer can still slip in, which the look afterwards finds and reports.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stages.errors import DataError, TryAgain
from stages.promote.gates import Rival
from stages.promote.stage import PromoteParams
from stages.tracking import PROMOTION_KEY_TAG, metric_name

MODELS_URI = "models:/"
EXAMPLES_TAG = "temper.examples_digest"
# Written on the challenger with PROMOTION_KEY_TAG before an alias moves, so that a retry of a killed attempt compares
# with the same version.
PROMOTION_RIVAL_TAG = "temper.promotion_rival"
VERDICT_TAG = "temper.verdict"


@dataclass(frozen=True)
class Challenger:
    """The version in question, its tags in the registry, and the execution that judges it."""

    name: str
    version: int
    key: str
    tags: Mapping[str, str]


def find_challenger(client: MlflowClient, name: str, version: int, key: str) -> Challenger:
    """The version as the registry has it; DataError where it does not."""
    try:
        found = client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise DataError(
            f"model_version names version {version} of {name!r}, which the registry does not hold; run register again"
        ) from error
    return Challenger(name, version, key, dict(found.tags))


def read_aliases(client: MlflowClient, name: str) -> dict[str, int]:
    """Alias -> version number."""
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


def rival_version(challenger: Challenger, champion: int | None) -> int | None:
    """The version to compare with: the champion, or the one that a killed attempt of this execution replaced."""
    if champion == challenger.version and challenger.tags.get(PROMOTION_KEY_TAG) == challenger.key:
        recorded = challenger.tags.get(PROMOTION_RIVAL_TAG)
        return int(recorded) if recorded else None
    return champion


def describe_rival(client: MlflowClient, challenger: Challenger, version: int | None) -> Rival | None:
    """What the registry knows about the version to compare with."""
    if version is None:
        return None
    rival = client.get_model_version(challenger.name, str(version))
    model = client.get_logged_model(rival.source.removeprefix(MODELS_URI))
    logged = {metric.key: metric.value for metric in model.metrics or []}
    return Rival(
        version=version,
        metrics={
            m: logged[n] for m in ("held_out_loss", "stop_rate") if (n := metric_name(m, "tuned", "all")) in logged
        },
        same_examples=rival.tags.get(EXAMPLES_TAG) == challenger.tags.get(EXAMPLES_TAG, ""),
        is_challenger=version == challenger.version,
    )


def record_intent(client: MlflowClient, challenger: Challenger, rival: int | None) -> None:
    """Writes down on the version what it is compared with, before anything moves."""
    for tag, value in ((PROMOTION_RIVAL_TAG, str(rival or "")), (PROMOTION_KEY_TAG, challenger.key)):
        client.set_model_version_tag(challenger.name, str(challenger.version), tag, value)


def promote(client: MlflowClient, challenger: Challenger, rival: int | None, params: PromoteParams) -> None:
    """Makes the challenger the champion and the rival the previous one; TryAgain when another writer was faster."""
    name, version = challenger.name, challenger.version
    _expect_champion(client, challenger, (rival, version), params)
    if rival is not None and rival != version:
        _set_alias(client, name, params.previous_alias, rival)
    _set_alias(client, name, params.champion_alias, version)
    _expect_champion(client, challenger, (version,), params)
    if read_aliases(client, name).get(params.challenger_alias) == version:
        client.delete_registered_model_alias(name, params.challenger_alias)


def turn_down(client: MlflowClient, challenger: Challenger, params: PromoteParams) -> None:
    """Names the version the challenger, unless it serves: a version that serves is not taken away by a gate."""
    if read_aliases(client, challenger.name).get(params.champion_alias) != challenger.version:
        _set_alias(client, challenger.name, params.challenger_alias, challenger.version)


def _expect_champion(
    client: MlflowClient, challenger: Challenger, expected: tuple[int | None, ...], params: PromoteParams
) -> None:
    found = read_aliases(client, challenger.name).get(params.champion_alias)
    if found not in expected:
        raise TryAgain(
            f"another writer moved alias {params.champion_alias!r} of {challenger.name!r} to version {found} while version "
            f"{challenger.version} was judged; run promote again, it will compare with that version"
        )


def _set_alias(client: MlflowClient, name: str, alias: str, version: int) -> None:
    try:
        client.set_registered_model_alias(name, alias, str(version))
    except MlflowException as error:
        if "IntegrityError" not in str(error):  # of two writers at once, the database lets one in
            raise
        raise TryAgain(f"another writer moves alias {alias!r} of {name!r} at this moment; run promote again") from error
