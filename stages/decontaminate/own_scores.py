"""How alike the items of an evaluation file are to each other: what another question of the same kind would score."""

import numpy as np
import polars as pl

from stages.decontaminate.features import Floats, content_concepts
from stages.decontaminate.similarity import LEAST_SCORE, Texts, score_pairs
from stages.decontaminate.stage import DecontaminateParams
from stages.texts.word_bytes import Booleans, Ints
from stages.texts.word_runs import ranges, run_hashes, starts_of, word_hashes

SELF_CHECKED = 3_000  # items of one file that are compared with the others
SAME_ANSWER = 0.5  # Jaccard of what answers say, from which two items alike are one question asked twice


def own_scores(items: pl.DataFrame, known: Texts, own: pl.Series, params: DecontaminateParams) -> dict[str, Floats]:
    """Per file the best score of each of its items with another question of the file, 0 where none is near.

    An item that the file asks again, with the same answer or word by word, would be found rightly and says nothing of
    mistakes. `own` are the items without what many of the file say in the same words.
    """
    item = items.select(pl.struct("file", "item").rank("dense")).to_series().to_numpy().astype(np.int64)
    file = items["file"].rank("dense").to_numpy().astype(np.int64)
    chosen = items.select(pl.col("item").rank("dense").over("file") <= SELF_CHECKED).to_series().to_numpy()
    numbers = np.flatnonzero(chosen)
    texts = Texts(known.features.of_texts(numbers), known.numbers[numbers], known.answers.gather(numbers))
    pairs = score_pairs(texts, known, apart=(item[numbers], item))
    left, right = numbers[pairs.left], pairs.right
    other = np.flatnonzero((file[left] == file[right]) & (pairs.score >= LEAST_SCORE))
    again = _answered_alike(known, left[other], right[other]) | _asked_alike(own, left[other], right[other], params)
    other = other[~again]
    best = np.zeros(item.max() + 1)
    np.maximum.at(best, item[left[other]], pairs.score[other])
    names = pl.DataFrame({"file": items["file"], "item": item}).filter(chosen).unique().sort("file", "item")
    return {
        str(name): best[part["item"].to_numpy()] for (name,), part in names.partition_by("file", as_dict=True).items()
    }


def _asked_alike(texts: pl.Series, left: Ints, right: Ints, params: DecontaminateParams) -> Booleans:
    """Whether the first of two items would be flagged, as a row, for the second one's runs of words."""
    runs = run_hashes(word_hashes(texts), params.ngram_words, short_texts=True)
    starts, counts = starts_of(runs.counts), runs.counts
    held = [np.isin(runs.hashes[ranges(starts[[b]], counts[[b]])], runs.hashes[ranges(starts[[a]], counts[[a]])]).mean()
            for a, b in zip(left, right, strict=True)]  # fmt: skip
    return np.array(held) >= params.min_overlap


def _answered_alike(known: Texts, left: Ints, right: Ints) -> Booleans:
    """Whether the answers of two items say the same, and end in no other number."""
    differ = np.abs(known.numbers[left] - known.numbers[right]) > 0  # never where one has none
    concepts = content_concepts(known.answers)
    pair = pl.DataFrame({"one": concepts.gather(left), "other": concepts.gather(right)})
    common, every = (
        pl.col("one").list.set_intersection("other").list.len(),
        pl.col("one").list.set_union("other").list.len(),
    )
    alike = pair.select((every > 0) & (common >= SAME_ANSWER * every))
    same: Booleans = alike.to_series().to_numpy() & ~differ
    return same
