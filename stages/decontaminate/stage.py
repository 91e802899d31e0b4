"""Declares decontaminate."""

from stages.contract import Params, Stage, setting


class DecontaminateParams(Params):
    """How much of an evaluation item a row may contain."""

    ngram_words: int = setting(
        13,
        "consecutive words that count as shared; items of 8 words up to this must stand in a row whole",
        unit="words",
        ge=8,
        le=50,
    )
    min_overlap: float = setting(
        0.5,
        "a row goes when it holds at least this share of an item's runs of words",
        unit="share of the item's runs",
        gt=0,
        le=1,
    )


STAGE = Stage(
    name="decontaminate",
    purpose="Sets aside rows that contain items of the evaluation files, with the item and the shared words",
    kind="table",
    inputs=("kept",),
    optional_inputs=("evals",),
    outputs=("clean", "contaminated"),
    keeps="clean",
    sets_aside="contaminated",
    params=DecontaminateParams,
    image="data",
)
