"""Declares dedup."""

from typing import Literal

from stages.contract import Params, Stage, setting


class DedupParams(Params):
    """What counts as the same row."""

    key: Literal["prompt", "response", "conversation", "turns"] = setting(
        "conversation",
        "text that is compared; rows whose text is empty are compared with none. turns: the whole conversation, and a "
        "long one turn by turn: it goes for one that has turns like each of its own, in that order and with none between",
    )
    min_long_turns: int = setting(
        4, "a conversation with so many turns is long, and compared turn by turn under key turns", unit="turns", ge=2
    )
    min_similarity: float = setting(
        0.8, "a row goes when it is at least this similar to a row that stays", unit="Jaccard of shingles", ge=0.3, le=1
    )
    group_similarity: float | None = setting(
        0.6,
        "kept rows at least this similar get one group_id, so that mix does not part them; None groups by opening only",
        unit="Jaccard of shingles",
        ge=0.3,
        le=1,
    )
    shingle_words: int = setting(3, "consecutive words in a shingle", unit="words", ge=1, le=20)
    max_row_share: float | None = setting(
        0.05,
        "a shingle in more than this share of a source's rows (and in more than 50) is template and proves no likeness; "
        "shares are those in a sample of up to 10,000 rows of each source",
        unit="share of a source's rows",
        gt=0,
        le=1,
    )
    conflicting_answers: Literal["keep_all", "keep_best"] = setting(
        "keep_all", "what becomes of rows that answer the same question differently; they are counted either way"
    )
    prefer_sources: list[str] = setting(
        [],
        "sources whose rows survive before others', best first; then fewer repairs, the longer answer (under key turns more "
        "turns, if long, and the longer text), the lower row_id",
    )
    seed: int = setting(0, "of the hash functions that find candidates", ge=0, lt=2**32)


STAGE = Stage(
    name="dedup",
    purpose="Sets aside rows that repeat another row, exactly or nearly, each verified against a row that stays",
    kind="job",
    inputs=("conversations",),
    outputs=("unique", "duplicates"),
    keeps="unique",
    sets_aside="duplicates",
    params=DedupParams,
    image="data",
)
