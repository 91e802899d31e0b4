"""Declares decontaminate."""

from stages.contract import Params, Stage, setting


class DecontaminateParams(Params):
    """How much of an evaluation item a row may contain, and what the items are."""

    ngram_words: int = setting(
        13,
        "consecutive words that count as shared; of items up to three times as long nearly every word, in order, counts too",
        unit="words",
        ge=8,
        le=50,
    )
    min_overlap: float = setting(
        0.5,
        "a row goes when it holds at least this share of an item's runs of words, or of what its words weigh",
        unit="share of the item's runs",
        gt=0,
        le=1,
    )
    max_false_positive_rate: float | None = setting(
        0.01,
        "of items in other words: share of an evaluation set's own items, and of rows known clean, that may be flagged "
        "by mistake; None looks for no item in other words",
        unit="share",
        ge=0,
        lt=0.5,
    )
    sure_score: float = setting(
        0.45,
        "a row this like an item goes even where the set's items are so alike that more of them would be flagged",
        unit="score, 1 = the same",
        ge=0.3,
        le=1,
    )
    known_clean: list[str] = setting(
        [], "sources whose rows are known to hold no item: the rate of false positives is measured and held on them"
    )
    pins: dict[str, str] = setting(
        {}, "SHA-256 of evaluation files by their path in the folder; another file of that name stops the run"
    )


STAGE = Stage(
    name="decontaminate",
    purpose="Sets aside rows that contain items of the evaluation files, whole, in part or in other words, with evidence",
    kind="job",
    inputs=("kept",),
    optional_inputs=("evals",),
    outputs=("clean", "contaminated", "decontamination"),
    keeps="clean",
    sets_aside="contaminated",
    params=DecontaminateParams,
    image="data",
)
