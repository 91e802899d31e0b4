"""What the report stage reads, makes and may be told."""

from collections.abc import Mapping
from typing import Any, Self

from stages.contract import Params, Stage, setting

TITLE_CHARS = 120


class ReportParams(Params):
    """How the page is headed and how much of the data it quotes."""

    title: str = setting(
        "", "Heading of the page: what this run is. Empty: the name of the run", max_length=TITLE_CHARS
    )
    examples_per_reason: int = setting(10, "Rows quoted for each reason that set rows aside", unit="rows", ge=0, le=50)
    generations_shown: int = setting(8, "Prompts whose answers stand side by side", unit="prompts", ge=0, le=200)
    excerpt_chars: int = setting(400, "How much of a text is quoted", unit="characters", ge=40, le=20_000)
    filter: dict[str, Any] = setting(
        {}, "What filter was told, so that every threshold is shown; a run knows it. Empty: those that rejected rows"
    )

    def in_run(self, planned: Mapping[str, Params], name: str = "") -> Self:
        """With the values of filter and the name of the run, unless others were stated."""
        told = self.filter or (planned["filter"].model_dump(mode="json") if "filter" in planned else {})
        return self.model_copy(update={"filter": told, "title": self.title or name[:TITLE_CHARS]})


TABLES = (
    "conversations", "quarantined", "unique", "duplicates", "scored", "rated", "kept", "rejected", "clean", "contaminated",
    "decontamination", "mixture", "left_out", "mix_summary", "examples", "refused", "training_log", "evaluation", "generations", "model_version", "verdict",
)  # fmt: skip

STAGE = Stage(
    name="report",
    purpose="One self-contained HTML page: funnel, reasons with examples, distributions, loss, answers side by side",
    kind="job",
    inputs=(),
    optional_inputs=TABLES,
    outputs=("report",),
    params=ReportParams,
    image="data",
)
