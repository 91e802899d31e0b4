"""Makes evaluation texts ready to be looked up by their runs of words."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from stages.decontaminate.eval_items import EvalText
from stages.decontaminate.readings import readings
from stages.texts.conversation_text import normalised, words
from stages.texts.word_bytes import Booleans, Hashes, Ints
from stages.texts.word_runs import ranges, run_hashes, word_hashes

TURN_WORDS = 8  # a later turn of fewer words says nothing by itself: "Now make it shorter."
SHORT_WORDS = 5  # a shorter text is found only as a whole turn: "What is it?" stands in many
MANY_TEXTS = 20  # a run of words in more evaluation texts than this is their template
SIEVE_BITS = 22  # 4 MB of booleans; with 100,000 runs it lets 2 % of others through

PAIRS: dict[str, type[pl.DataType]] = {
    "row": pl.Int64,
    "text": pl.UInt32,
    "overlap": pl.Float64,  # share of the text, 0-1
    "first": pl.Int64,  # where in the text the run of words begins that both say
    "shared_words": pl.Int64,  # of that run
}
RUNS = {"length": pl.Int64, "run": pl.UInt64, "text": pl.UInt32, "position": pl.Int64}


class Sieve(NamedTuple):
    """Tells of most runs of words that they are none of some runs."""

    bits: Booleans  # by the first bits of a hash, whether any of the runs has them

    @classmethod
    def of(cls, hashes: Hashes) -> Self:
        bits = np.zeros(1 << SIEVE_BITS, dtype=np.bool_)
        bits[_first_bits(hashes)] = True
        return cls(bits)

    def passed(self, hashes: Hashes) -> Ints:
        """Where in `hashes` those stand that can be among the runs."""
        return np.flatnonzero(self.bits[_first_bits(hashes)])


class RunsOfLength(NamedTuple):
    """The runs of one number of words."""

    length: int
    runs: pl.DataFrame  # run: hash, text, position: of the run's first word, runs: how many the text has
    sieve: Sieve | None  # None where each is a whole text, which is looked for where one begins


class EvalIndex(NamedTuple):
    """Evaluation texts of different words."""

    texts: (
        pl.DataFrame
    )  # text: number, file, item, role, words: list, phrase: the words as one string, answer: likewise
    short: pl.DataFrame  # of these, the ones that are found only as a whole turn
    lengths: list[RunsOfLength]
    beginnings: Sieve  # of the first SHORT_WORDS words of the texts that are one run


def build_index(eval_texts: Sequence[EvalText], ngram_words: int) -> EvalIndex:
    """The index of all texts; of equal texts the first stands for all. A text with something to read is also
    what it says as read.

    A prompt of SHORT_WORDS up to `ngram_words` is one run, longer texts are all their runs of `ngram_words`. A later
    turn of fewer than TURN_WORDS, or an answer of fewer than `ngram_words`, says too little to be looked for.
    """
    count = pl.col("words").list.len()
    least = pl.col("role").replace_strict({"prompt": 1, "turn": TURN_WORDS, "answer": ngram_words})
    every = pl.DataFrame(eval_texts, schema=["file", "item", "text", "role"], orient="row")
    told = every.filter(pl.col("role") != "gist")
    texts = (
        pl.concat([told, told.with_columns(text=readings(told["text"])).drop_nulls("text")])
        .with_columns(words=words(normalised(pl.col("text"))))
        .filter(count >= least)
        .with_columns(phrase=pl.col("words").list.join(" "))
        .sort(pl.col("role") == "answer", maintain_order=True)
        .unique("phrase", keep="first", maintain_order=True)
        .drop("text")
        .join(_answers(every), on=["file", "item"], how="left", maintain_order="left")
        .with_row_index("text")
    )
    runs = _runs(texts.filter(count >= SHORT_WORDS), ngram_words)
    lengths = [
        _of_length(length, runs.filter(length=length), ngram_words) for length in sorted(runs["length"].unique())
    ]
    whole = texts.filter(pl.col("text").is_in(runs.filter(pl.col("length") != ngram_words)["text"].implode()))
    beginnings = run_hashes(word_hashes(whole["words"].list.head(SHORT_WORDS).list.join(" ")), SHORT_WORDS)
    return EvalIndex(texts, texts.filter(count < SHORT_WORDS), lengths, Sieve.of(beginnings.hashes))


def _answers(texts: pl.DataFrame) -> pl.DataFrame:
    """file, item and the words of the item's shortest answer."""
    answers = texts.filter(role="answer").with_columns(answer=words(normalised(pl.col("text"))).list.join(" "))
    shortest = answers.filter(pl.col("answer") != "").sort(pl.col("answer").str.len_chars(), "answer")
    return shortest.unique(["file", "item"], keep="first").select("file", "item", "answer")


def _runs(texts: pl.DataFrame, ngram_words: int) -> pl.DataFrame:
    """The columns RUNS and how many runs the text has; runs of a template that many texts share are left out.

    A text that has nothing but such runs is one run of its full length instead.
    """
    count = pl.col("words").list.len().cast(pl.Int64)
    every = _cut(texts.with_columns(length=pl.min_horizontal(count, pl.lit(ngram_words))))
    own = every.filter(pl.len().over("length", "run") <= MANY_TEXTS)
    template_only = texts.join(own, on="text", how="anti").with_columns(length=count)
    return pl.concat([own, _cut(template_only)]).with_columns(runs=pl.len().over("text"))


def _cut(texts: pl.DataFrame) -> pl.DataFrame:
    """The runs of each text, of the length its column `length` says."""
    tables = [pl.DataFrame(schema=RUNS)]
    for part in texts.partition_by("length"):
        length = int(part["length"][0])
        found = run_hashes(word_hashes(part["phrase"]), length)
        columns = {
            "length": np.full(len(found.hashes), length),
            "run": found.hashes,
            "text": part["text"].to_numpy()[found.owners],
            "position": ranges(np.zeros_like(found.counts), found.counts),
        }
        tables.append(pl.DataFrame(columns, schema=RUNS))
    return pl.concat(tables)


def _of_length(length: int, runs: pl.DataFrame, ngram_words: int) -> RunsOfLength:
    return RunsOfLength(
        length, runs.drop("length"), Sieve.of(runs["run"].to_numpy()) if length == ngram_words else None
    )


def _first_bits(hashes: Hashes) -> Hashes:
    return hashes >> np.uint64(64 - SIEVE_BITS)
