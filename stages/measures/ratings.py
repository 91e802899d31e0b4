"""Which setting of `rate` makes which column, so that whoever goes by one knows before a run that nobody makes it. Light."""

from collections.abc import Mapping

from stages.contract import Params

MADE_BY = {
    **dict.fromkeys(("perplexity", "perplexity_alone", "perplexity_length_rank", "ifd", "ifd_length_rank"), "perplexity"),
    "embedding": "embed",
    "judge_score": "judge_model",
}  # fmt: skip


def not_rated(columns: Mapping[str, str], planned: Mapping[str, Params]) -> tuple[str, ...]:
    """In words, which of `columns` (setting -> the column it goes by) a run with `planned` (stage -> values) lacks."""
    rate = planned.get("rate")
    return tuple(
        f"{name} goes by {column}, which is not measured; set rate.{MADE_BY[column]} too"
        for name, column in columns.items()
        if rate and column in MADE_BY and not getattr(rate, MADE_BY[column])
    )
