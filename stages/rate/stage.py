"""What the rate stage reads, makes and may be told."""

from stages.contract import Params, Stage


class RateParams(Params):
    """Which models are asked, and how. By default none is: every rating is null and the rows pass through."""

    def inputs_left_out(self) -> tuple[str, ...]:
        return ("base",)


STAGE = Stage(
    name="rate",
    purpose="Asks models about each row: how well the base predicts its answer, what a judge thinks of it",
    kind="job",
    inputs=("scored",),
    optional_inputs=("base",),
    outputs=("rated",),
    params=RateParams,
    image="train",
)
