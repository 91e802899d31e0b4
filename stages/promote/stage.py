"""What the promote stage reads, makes and may be told."""

from typing import Self

from pydantic import model_validator

from stages.contract import Params, Stage, setting

ALIAS = r"^[A-Za-z0-9_-]+$"  # MLflow takes no other characters


class PromoteParams(Params):
    """The gates and the aliases. A gate that is None is off."""

    max_held_out_loss_increase: float | None = setting(
        0.0, "Gate: the held-out loss may be higher than the champion's by this share of it", unit="share", ge=0
    )
    min_stop_rate: float | None = setting(
        0.9, "Gate: share of held-out prompts whose answer the model must end itself", unit="share", ge=0, le=1
    )
    champion_alias: str = setting("champion", "Alias of the version that serves", pattern=ALIAS)
    previous_alias: str = setting(
        "previous", "Alias of the version that served before it, for a way back", pattern=ALIAS
    )
    challenger_alias: str = setting("challenger", "Alias of the newest version that was not promoted", pattern=ALIAS)
    stop_on_failed_gate: bool = setting(
        False, "Fails (exit code 99) when a gate is not passed, so that nothing runs after it"
    )

    @model_validator(mode="after")
    def _aliases_differ(self) -> Self:
        names = [self.champion_alias, self.previous_alias, self.challenger_alias]
        if len(set(names)) < len(names):
            raise ValueError(f"the aliases {names} must be three different names: each points to another version")
        return self


STAGE = Stage(
    name="promote",
    purpose="Compares a registered version with the one that serves, and moves the champion alias if it passes the gates",
    kind="job",
    inputs=("model_version", "evaluation"),
    outputs=("verdict",),
    params=PromoteParams,
    image="train",
    outside=True,
)
