"""What the score stage reads, makes and may be told."""

from stages.contract import Params, Stage


class ScoreParams(Params):
    """Nothing to set: a signal is a measurement, and every threshold on it belongs to `filter`."""


STAGE = Stage(
    name="score",
    purpose="Measures each conversation: length, repetition, symbols, refusals, template leaks, unfinished answers",
    kind="rows",
    inputs=("unique",),
    outputs=("scored",),
    params=ScoreParams,
    image="data",
    costly_rows=True,
)
