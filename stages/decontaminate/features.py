"""Texts as weighted sets: of what their words stand for, of their numbers, and of their runs of four characters."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.decontaminate.lexicon import COMPOUND_NUMBERS, FUNCTION_WORDS, concept_of
from stages.texts.conversation_text import UNSPACED
from stages.texts.word_bytes import Ints
from stages.texts.word_runs import ranges, starts_of

Floats = npt.NDArray[np.float64]

TOKEN = rf"\d+(?:\.\d+)?|[{UNSPACED}]|[[\p{{L}}\p{{M}}]--[{UNSPACED}]]+"
LIGHT = 0.2  # of the weight of a function word: it says little of what a text is about
LEAST_WEIGHT = 0.05
GRAM_CHARS = 4
GRAM_BITS = 18
GRAM_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)  # odd: XXH64's
MIXER = 0xFF51AFD7ED558CCD  # from MurmurHash3's finalizer
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
    grams: Sparse  # length 1
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
    """How rare words and runs of characters are where they are most common: in the rows or in one evaluation file."""

    words: pl.DataFrame  # concept, id, weight
    unseen: float  # weight of a word that none of the texts has
    grams: Floats  # weight of each run of characters


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
    return Weights(weighed.with_columns(weight=weight).with_row_index("id"), unseen, _gram_weights(among))


def _word_shares(corpus: Corpus) -> pl.DataFrame:
    counted = concept_counts(corpus.texts).group_by("concept").agg(share=(pl.len() + 0.5) / corpus.among)
    return counted.filter(pl.col("share") > corpus.least_share)


def _gram_weights(corpora: Sequence[Corpus]) -> Floats:
    shares = [
        (np.bincount(_gram_counts(corpus.texts)[1], minlength=1 << GRAM_BITS) + 0.5) / corpus.among
        for corpus in corpora
    ]
    told = [np.where(share > corpus.least_share, share, 0.0) for share, corpus in zip(shares, corpora, strict=True)]
    highest: Floats = np.max(told, axis=0)
    return np.maximum(-np.log(highest), LEAST_WEIGHT)


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
        grams=gram_features(texts, weights),
        meanings=_sparse(rooted, len(texts)),
    )


def _sparse(entries: pl.DataFrame, texts: int) -> Sparse:
    return Sparse(entries["owner"].to_numpy(), entries["id"].to_numpy(), entries["value"].to_numpy(), texts)


def concept_counts(texts: pl.Series) -> pl.DataFrame:
    """owner, concept, count: how often each text has what; nothing of a text without words."""
    text = pl.col("text").str.replace_all(r"(\d),(\d{3})", "$1$2").str.replace_all(r"(\d),(\d{3})", "$1$2")
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


def gram_features(texts: pl.Series, weights: Weights) -> Sparse:
    """The runs of four characters of each text, word limits included."""
    owner, gram, count = _gram_counts(texts)
    return Sparse(owner, gram, np.sqrt(weights.grams[gram]) * (1 + np.log(count)), len(texts)).scaled()


def _gram_counts(texts: pl.Series) -> tuple[Ints, Ints, Ints]:
    """Owner, hashed run and how often, sorted by owner and run."""
    padded = [f" {text} " for text in texts]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    counts = np.maximum(lengths - GRAM_CHARS + 1, 0)
    first = ranges(starts_of(lengths), counts)
    hashes = np.zeros(len(first), dtype=np.uint64)
    for offset, multiplier in enumerate(GRAM_MULTIPLIERS):
        hashes += points[first + offset] * np.uint64(multiplier)
    hashes = (hashes ^ (hashes >> np.uint64(31))) * np.uint64(MIXER)
    grams = (hashes >> np.uint64(64 - GRAM_BITS)).astype(np.int64)
    entries, count = np.unique((np.repeat(np.arange(len(texts)), counts) << GRAM_BITS) | grams, return_counts=True)
    return entries >> GRAM_BITS, entries & ((1 << GRAM_BITS) - 1), count
