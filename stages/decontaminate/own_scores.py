"""How alike the items of an evaluation file are to each other: what another question of the same kind would score."""

import numpy as np
import polars as pl

from stages.decontaminate.features import Floats, concept_counts
from stages.decontaminate.lexicon import FUNCTION_WORDS
from stages.decontaminate.similarity import Texts, score_pairs
from stages.word_bytes import Booleans, Ints

SELF_CHECKED = 3_000  # items of one file that are compared with the others
SAME_ANSWER = 0.5  # Jaccard of what answers say, from which two items alike are one question asked twice


def own_scores(items: pl.DataFrame, known: Texts) -> dict[str, Floats]:
    """Per file the best score of each of its items with another question of the file, 0 where none is near.

    An item that the file asks again, with the same answer, would be found rightly and says nothing of mistakes.
    """
    item = items.select(pl.struct("file", "item").rank("dense")).to_series().to_numpy().astype(np.int64)
    file = items["file"].rank("dense").to_numpy().astype(np.int64)
    chosen = items.select(pl.col("item").rank("dense").over("file") <= SELF_CHECKED).to_series().to_numpy()
    numbers = np.flatnonzero(chosen)
    texts = Texts(known.features.of_texts(numbers), known.numbers[numbers], known.answers.gather(numbers))
    pairs = score_pairs(texts, known, apart=(item[numbers], item))
    left, right = numbers[pairs.left], pairs.right
    other = (file[left] == file[right]) & ~_answered_alike(known, left, right)
    best = np.zeros(item.max() + 1)
    np.maximum.at(best, item[left[other]], pairs.score[other])
    names = pl.DataFrame({"file": items["file"], "item": item}).filter(chosen).unique().sort("file", "item")
    return {
        str(name): best[part["item"].to_numpy()] for (name,), part in names.partition_by("file", as_dict=True).items()
    }


def _answered_alike(known: Texts, left: Ints, right: Ints) -> Booleans:
    """Whether the answers of two items say the same, and end in no other number."""
    differ = np.abs(known.numbers[left] - known.numbers[right]) > 0  # never where one has none
    said = concept_counts(known.answers.fill_null("")).filter(~pl.col("concept").is_in(sorted(FUNCTION_WORDS)))
    concepts = said.group_by("owner").agg("concept")
    sides = [
        pl.DataFrame({"owner": side}).join(concepts, on="owner", how="left", maintain_order="left")["concept"]
        for side in (left, right)
    ]
    pair = pl.DataFrame({"one": sides[0], "other": sides[1]})
    common = pl.col("one").list.set_intersection("other").list.len()
    alike = pair.select(
        (common >= SAME_ANSWER * pl.col("one").list.set_union("other").list.len()).fill_null(value=False)
    )
    same: Booleans = alike.to_series().to_numpy() & ~differ
    return same
