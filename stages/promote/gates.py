"""The gates between a registered version and serving: numbers in, verdicts out, no registry."""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.promote.stage import PromoteParams


@dataclass(frozen=True)
class Rival:
    """The version that a challenger is compared with. `metrics` holds those of the tuned model over all slices."""

    version: int
    metrics: Mapping[str, float]
    same_examples: bool  # judged on the same held-out data as the challenger
    is_challenger: bool = False  # the challenger serves already


@dataclass(frozen=True)
class Gate:
    """One question and its answer. `bound` is None where there was nothing to compare with or the gate is off."""

    gate: str
    metric: str
    challenger: float | None
    champion: float | None
    bound: float | None
    passed: bool
    detail: str


def judge(challenger: Mapping[str, float], rival: Rival | None, params: PromoteParams) -> list[Gate]:
    """The answer of every gate. A metric that was not measured fails its gate."""
    return [_no_worse_than_champion(challenger, rival, params), _stops_reliably(challenger, rival, params)]


def _no_worse_than_champion(challenger: Mapping[str, float], rival: Rival | None, params: PromoteParams) -> Gate:
    metric, allowed = "held_out_loss", params.max_held_out_loss_increase
    measured = challenger.get(metric)
    against = rival.metrics.get(metric) if rival else None
    bound = None if allowed is None or against is None else against * (1 + allowed)
    if allowed is None:
        passed, detail = True, "the gate is off"
    elif measured is None:
        passed, detail = False, "the held-out loss was not measured"
    elif rival is None:
        passed, detail = True, "no champion yet, so there is nothing to be worse than"
    elif bound is None:
        passed, detail = False, f"champion version {rival.version} has no held-out loss in the registry to compare with"
    else:
        passed = measured <= bound
        detail = f"{measured:.4f} against at most {bound:.4f}: {_named(rival)}"
    return Gate("no_worse_than_champion", metric, measured, against, bound, passed, detail)


def _named(rival: Rival) -> str:
    if rival.is_challenger:
        return f"version {rival.version} is the champion already"
    data = (
        "on the same examples" if rival.same_examples else "on other examples, so the two losses compare only roughly"
    )
    return f"champion version {rival.version} was measured {data}"


def _stops_reliably(challenger: Mapping[str, float], rival: Rival | None, params: PromoteParams) -> Gate:
    metric, bound = "stop_rate", params.min_stop_rate
    measured = challenger.get(metric)
    against = rival.metrics.get(metric) if rival else None
    if bound is None:
        passed, detail = True, "the gate is off"
    elif measured is None:
        passed, detail = False, "the stop rate was not measured; let evaluate answer prompts (max_prompts above 0)"
    else:
        passed = measured >= bound
        detail = f"{measured:.2%} of the answers end by themselves, at least {bound:.2%} must"
    return Gate("stops_reliably", metric, measured, against, bound, passed, detail)
