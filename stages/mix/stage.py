"""Declares mix."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from stages.contract import Params, Stage, setting


class MixParams(Params):
    """How much of each source goes into training, and what is held out."""

    max_rows_per_source: int | None = setting(
        None, "rows taken from one source at most, so that a large one does not drown the others", unit="rows", ge=1
    )
    max_rows: int | None = setting(None, "rows taken in all at most, from each source in proportion", unit="rows", ge=1)
    validation_share: float = setting(0.02, "of the groups, for validation during training", unit="share", ge=0, lt=1)
    test_share: float = setting(0.02, "of the groups, for evaluation after training", unit="share", ge=0, lt=1)
    repeats: dict[str, Annotated[int, Field(ge=1, le=100)]] = setting(
        {}, "how often the training rows of a source are seen in an epoch, by source; 1 where none is given"
    )
    seed: int = setting(0, "of the choice of rows and of the split", ge=0, lt=2**32)

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                "validation_share and test_share together leave nothing to train on; keep their sum under 1"
            )
        return self


STAGE = Stage(
    name="mix",
    purpose="Caps each source, divides train, validation and test by near-duplicate group, and sets repeats",
    kind="table",
    inputs=("clean",),
    outputs=("mixture", "left_out"),
    keeps="mixture",
    sets_aside="left_out",
    params=MixParams,
    image="data",
)
