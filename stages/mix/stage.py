"""Declares mix."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stages.contract import Params, Stage, setting
from stages.measures.ratings import not_rated

Rows = Annotated[int, Field(ge=0)]


class MixParams(Params):
    """How much of each source or task goes into training, and what is held out."""

    max_rows_per_source: int | None = setting(
        None, "rows taken from one source at most, so that a large one does not drown the others", unit="rows", ge=1
    )
    max_rows: int | None = setting(None, "rows taken in all at most, from each source in proportion", unit="rows", ge=1)
    select_rows: int | None = setting(
        None,
        "training conversations that are chosen for quality and for being unlike one another, of each part as many as "
        "its share where shares are given; None takes all",
        unit="rows",
        ge=1,
    )  # fmt: skip
    alike_by: Literal["words", "embedding"] = setting(
        "words", "what tells select_rows that rows are alike: their words, or the embedding that rate made with embed"
    )
    quality: str | None = setting(
        None, "column that says how good a row is, for select_rows; with a minus sign before it lower is better"
    )
    part: Literal["source", "task"] = setting("source", "what weights, temperature, min_seen and max_seen speak of")
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = setting(
        {},
        "share of the training rows of an epoch for every part, relative to one another, 0 takes none of it; "
        "empty leaves sizes as they are",
    )
    temperature: float | None = setting(
        None,
        "shares go by size to the power of 1 / temperature: 1 as the sizes are, more of it more equal",
        ge=1,
        le=100,
    )
    epoch_rows: int | None = setting(
        None, "training rows of an epoch, repeats counted; None takes as many as there are, or the shares allow",
        unit="rows", ge=1,
    )  # fmt: skip
    min_seen: dict[str, Rows] = setting({}, "training rows of an epoch at least, repeats counted, by part", unit="rows")
    max_seen: dict[str, Rows] = setting({}, "training rows of an epoch at most, repeats counted, by part", unit="rows")
    # Up to four epochs repeated data is worth nearly as much as new (Muennighoff et al. 2023, arXiv 2305.16264).
    max_repeats: int = setting(
        4,
        "most times a row is seen in an epoch, whatever a share, min_seen or replay_share asks for",
        unit="times",
        ge=1,
        le=100,
    )
    replay_share: float | None = setting(
        None, "share of plain documents in an epoch of training, against forgetting; None treats them as any other row",
        unit="share", ge=0, lt=1,
    )  # fmt: skip
    replay_of: Literal["chars", "rows"] = setting(
        "chars", "what replay_share is a share of; characters stand for tokens"
    )
    validation_share: float = setting(0.02, "of the groups, for validation during training", unit="share", ge=0, lt=1)
    test_share: float = setting(0.02, "of the groups, for evaluation after training", unit="share", ge=0, lt=1)
    repeats: dict[str, Annotated[int, Field(ge=1, le=100)]] = setting(
        {}, "how often the training rows of a source are seen in an epoch, by source; 1 where none is given"
    )
    loss_weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = setting(
        {},
        "what each token that counts weighs in the loss, by source, times what its record says; 1 where none is given, 0 teaches nothing",
    )
    seed: int = setting(0, "of the choice of rows and of the split", ge=0, lt=2**32)

    @property
    def shares_decide(self) -> bool:
        """Whether shares say how often rows are seen, rather than `repeats`."""
        return bool(self.shares_given or self.epoch_rows or self.min_seen or self.max_seen)

    @property
    def shares_given(self) -> bool:
        """Whether it is said what the shares are; else they are as the sizes."""
        return bool(self.weights or self.temperature)

    def lacking_in(self, planned: Mapping[str, Params]) -> tuple[str, ...]:
        return not_rated({"quality": (self.quality or "").removeprefix("-"), "alike_by": self.alike_by}, planned)

    @model_validator(mode="after")
    def _values_agree(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                "validation_share and test_share together leave nothing to train on; keep their sum under 1"
            )
        if self.weights and not any(self.weights.values()):
            raise ValueError("weights are all 0, which leaves nothing to train on; give one part more")
        if self.weights and self.temperature:
            raise ValueError("weights and temperature both say what the shares are; give one of them")
        if self.repeats and self.shares_decide:
            raise ValueError("repeats and shares both say how often rows are seen; give one of them")
        if self.quality and not self.select_rows:
            raise ValueError("quality is for the choice of select_rows rows; give select_rows too")
        if self.alike_by != "words" and not self.select_rows:
            raise ValueError("alike_by is for the choice of select_rows rows; give select_rows too")
        for name in sorted(self.min_seen.keys() & self.max_seen.keys()):
            if self.min_seen[name] > self.max_seen[name]:
                raise ValueError(f"min_seen of {name} is more than its max_seen; lower one or raise the other")
        return self


STAGE = Stage(
    name="mix",
    purpose="Sets the shares of sources or tasks, divides train, validation and test without a leak, and sets repeats",
    kind="table",
    inputs=("clean",),
    outputs=("mixture", "left_out", "mix_summary"),
    keeps="mixture",
    sets_aside="left_out",
    params=MixParams,
    image="data",
)
