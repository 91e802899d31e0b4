"""Texts as weighted sets: of what their words stand for, and of their numbers."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.decontaminate.lexicon import COMPOUND_NUMBERS, FUNCTION_WORDS, concept_of
from stages.texts.conversation_text import UNSPACED
from stages.texts.word_bytes import Ints

Floats = npt.NDArray[np.float64]

TOKEN = rf"\d+(?:\.\d+)?%?|[{UNSPACED}]|[[\p{{L}}\p{{M}}]--[{UNSPACED}]]+"
LIGHT = 0.2  # of the weight of a function word: it says little of what a text is about
LEAST_WEIGHT = 0.05
TEMPLATE_TEXTS, TEMPLATE_SHARE = 20, 0.2  # in so many texts, a word in more than this share of them is their template
FEW_AMONG = 1000
LEAST_TEXTS = 100  # fewer texts do not show how common a word is


class Sparse(NamedTuple):
    """Rows of a matrix that is mostly empty: entries sorted by owner, then id."""

    owner: Ints  # which text
    id: Ints  # which feature
    value: Floats
    texts: int  # how many texts, those without an entry included

    @property
    def counts(self) -> Ints:
        """Entries per text."""
        return np.bincount(self.owner, minlength=self.texts)

    @property
    def squares(self) -> Floats:
        """Sum of the squared values of each text."""
        return np.bincount(self.owner, self.value**2, minlength=self.texts).astype(np.float64)

    def scaled(self) -> Self:
        """Every text with a length of 1."""
        length = np.sqrt(np.maximum(self.squares, 1e-12))
        return self._replace(value=self.value / length[self.owner])

    def of_texts(self, chosen: Ints) -> Self:
        """The texts of these numbers, each once and rising, numbered anew."""
        place = np.full(self.texts, -1)
        place[chosen] = np.arange(len(chosen))
        keep = place[self.owner] >= 0
        return self._replace(owner=place[self.owner[keep]], id=self.id[keep], value=self.value[keep], texts=len(chosen))


class Features(NamedTuple):
    """What texts are compared by."""

    words: Sparse  # length 1; what is not a number
    numbers: Sparse  # the square of a value is the number's weight
    meanings: Sparse  # of every word and number; the square of a value is its weight

    def of_texts(self, chosen: Ints) -> "Features":
        """The texts of these numbers, each once and rising, numbered anew."""
        return Features(*(part.of_texts(chosen) for part in self))


class Corpus(NamedTuple):
    """Texts that show how common a word is: in how many of how many. A share up to `least_share` says nothing."""

    texts: pl.Series
    among: int
    least_share: float = 0.0


class Weights(NamedTuple):
    """How rare words are where they are most common: in the rows or in one evaluation file."""

    words: pl.DataFrame  # concept, id, weight
    unseen: float  # weight of a word that none of the texts has


def weights_of(corpora: Sequence[pl.Series]) -> Weights:
    """The weights, from collections of texts.

    A small collection shows no more than which words are its template. Where all are small, they count together as
    part of a large one, in which nothing else has their words.
    """
    large = [Corpus(texts, len(texts) + 1) for texts in corpora if len(texts) >= LEAST_TEXTS]
    small = [texts for texts in corpora if TEMPLATE_TEXTS <= len(texts) < LEAST_TEXTS]
    large = large or [Corpus(every := pl.concat(corpora), len(every) + FEW_AMONG)]
    among = large + [Corpus(texts, len(texts) + 1, TEMPLATE_SHARE) for texts in small]
    words = pl.concat(_word_shares(corpus) for corpus in among)
    weighed = words.group_by("concept").agg(weight=-pl.col("share").max().log()).sort("concept")
    light = pl.when(pl.col("concept").is_in(sorted(FUNCTION_WORDS))).then(LIGHT).otherwise(1.0)
    weight = pl.col("weight").clip(lower_bound=LEAST_WEIGHT) * light
    unseen = float(np.log(2 * max(corpus.among for corpus in large)))
    return Weights(weighed.with_columns(weight=weight).with_row_index("id"), unseen)


def _word_shares(corpus: Corpus) -> pl.DataFrame:
    counted = concept_counts(corpus.texts).group_by("concept").agg(share=(pl.len() + 0.5) / corpus.among)
    return counted.filter(pl.col("share") > corpus.least_share)


def features_of(texts: pl.Series, weights: Weights) -> Features:
    """The features of normalised texts.

    A word counts by the square root of its weight, as one rare word of many must not decide alone.
    """
    counted = (
        concept_counts(texts)
        .join(weights.words, on="concept", how="left")
        .with_columns(pl.col("id").cast(pl.Int64).fill_null(-1), pl.col("weight").fill_null(weights.unseen))
        .sort("owner", "id", "concept")
    )
    is_number = pl.col("concept").str.starts_with("#")
    rooted = counted.with_columns(value=pl.col("weight").sqrt())
    words = rooted.filter(~is_number).with_columns(value=pl.col("value") * (1 + pl.col("count").log()))
    return Features(
        words=_sparse(words, len(texts)).scaled(),
        numbers=_sparse(rooted.filter(is_number), len(texts)),
        meanings=_sparse(rooted, len(texts)),
    )


def _sparse(entries: pl.DataFrame, texts: int) -> Sparse:
    return Sparse(entries["owner"].to_numpy(), entries["id"].to_numpy(), entries["value"].to_numpy(), texts)


def concept_counts(texts: pl.Series) -> pl.DataFrame:
    """owner, concept, count: how often each text has what; nothing of a text without words."""
    text = pl.col("text").str.replace_all(r"(\d),(\d{3})", "$1$2").str.replace_all(r"(\d),(\d{3})", "$1$2")
    text = text.str.replace_all(r"(\d) ?(?:%|percent\b)", "$1%")
    tokens = (
        texts.alias("text")
        .to_frame()
        .select(token=text.str.replace_many(COMPOUND_NUMBERS).str.extract_all(TOKEN))
        .with_row_index("owner")
        .explode("token", empty_as_null=False)
        .with_columns(pl.col("owner").cast(pl.Int64))
    )
    different = tokens["token"].unique()
    meant = pl.DataFrame(
        {"token": different, "concept": [concept_of(token) for token in different]},
        schema={"token": pl.String, "concept": pl.String},
    )
    return tokens.join(meant, on="token").group_by("owner", "concept").agg(count=pl.len())


def content_words(texts: pl.Series) -> Ints:
    """How many different words and numbers each text has, function words left out."""
    content = concept_counts(texts).filter(~pl.col("concept").is_in(sorted(FUNCTION_WORDS)))
    return np.bincount(content["owner"].to_numpy(), minlength=len(texts))


def content_concepts(texts: pl.Series) -> pl.Series:
    """What each text says but for function words, as a list; empty for a null."""
    said = concept_counts(texts.fill_null("")).filter(~pl.col("concept").is_in(sorted(FUNCTION_WORDS)))
    listed = said.sort("owner", "concept").group_by("owner", maintain_order=True).agg("concept")
    owners = pl.DataFrame({"owner": pl.int_range(len(texts), eager=True)})
    none = pl.lit([], pl.List(pl.String))
    return (
        owners.join(listed, on="owner", how="left", maintain_order="left")["concept"]
        .to_frame()
        .select(pl.col("concept").fill_null(none))
        .to_series()
    )
