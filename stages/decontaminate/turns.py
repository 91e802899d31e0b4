"""The turns of rows that can be an evaluation item: what a user says, and the parts of plain documents."""

import polars as pl

from stages.texts.conversation_text import answers_text, normalised, words

LONG_WORDS = 160  # a longer turn is compared by its beginning and in parts
LEAST_LINE_WORDS = 8
# Parts have two steps and overlap by one, so that an item of up to so many words stands in one of them whole.
STEP_WORDS = 40
QUESTION = r"[^.?!]+\?"
DOCSTRING = r'def .*?(?:"""|\'\'\')(.*?)(?:"""|\'\'\'|>>>|\bexamples?\b|$)'
NUMBER = r"\d+(?:\.\d+)?"


def asked_turns(rows: pl.LazyFrame) -> pl.DataFrame:
    """row_id, turn, text (normalised), answer (words between spaces) and number (the last of all answers)."""
    turns = (
        rows.select("row_id", "messages", answer=answer_words(answers_text()), number=final_number(answers_text()))
        .explode("messages", empty_as_null=False)
        .select(
            "row_id",
            "answer",
            "number",
            role=pl.col("messages").struct.field("role"),
            content=pl.col("messages").struct.field("content"),
        )
        .filter(pl.col("role").is_in(["user", "text"]))
        .select("row_id", "answer", "number", "content", text=normalised(pl.col("content")))
        .filter(pl.col("text") != "")
        .collect()
    )
    long = pl.col("text").str.count_matches(" ") >= LONG_WORDS
    short = turns.filter(~long)
    every = pl.concat([short.drop("content"), _questions(short), _parts(turns.filter(long))])
    numbered = every.sort("row_id", "text").with_columns(turn=pl.int_range(pl.len()).over("row_id"))
    return numbered.select("row_id", "turn", "text", "answer", "number")


def questions() -> pl.Expr:
    """The user's turns and the texts of documents, normalised, as a list."""
    asked = pl.element().struct.field("role").is_in(["user", "text"])
    return pl.col("messages").list.eval(normalised(pl.element().struct.field("content").filter(asked)))


def _questions(turns: pl.DataFrame) -> pl.DataFrame:
    """Questions that stand among other sentences, such as a greeting, and what a function to complete is said to do."""
    questions = turns.with_columns(text=pl.col("text").str.extract_all(QUESTION)).explode("text", empty_as_null=False)
    described = turns.with_columns(text=pl.col("text").str.extract(DOCSTRING))
    parts = pl.concat([questions, described]).drop("content").with_columns(pl.col("text").str.strip_chars())
    said = parts.filter(pl.col("text").str.count_matches(" ") >= LEAST_LINE_WORDS - 1)
    return said.join(turns, on=["row_id", "text"], how="anti").unique(maintain_order=True)


def _parts(turns: pl.DataFrame) -> pl.DataFrame:
    """The beginning of each turn, its lines of some words, and pieces that overlap."""
    split = turns.with_columns(words=pl.col("text").str.split(" ")).with_row_index("place")
    lines = turns.with_columns(text=pl.col("content").str.split("\n")).explode("text")
    lines = lines.with_columns(text=normalised(pl.col("text")))
    parts = [
        split.with_columns(text=pl.col("words").list.head(LONG_WORDS).list.join(" ")),
        _pieces(split),
        lines.filter(pl.col("text").str.count_matches(" ").is_between(LEAST_LINE_WORDS - 1, LONG_WORDS)),
    ]
    columns = ["row_id", "answer", "number", "text"]
    return pl.concat([part.select(columns) for part in parts]).unique(["row_id", "text"], maintain_order=True)


def _pieces(split: pl.DataFrame) -> pl.DataFrame:
    """Pieces of two steps each, of turns with their `place` and `words`. No list of words is made twice: a book has many."""
    step = pl.int_range(pl.len()).over("place") // STEP_WORDS
    steps = (
        split.select("place", "words")
        .explode("words")
        .group_by("place", step.alias("step"), maintain_order=True)
        .agg(said=pl.col("words").str.join(" "))
    )
    following = pl.col("said").shift(-1).over("place")
    pieces = steps.select("place", text=pl.col("said") + " " + following).drop_nulls("text")
    return pieces.join(split.drop("text", "words"), on="place", maintain_order="left")


def answer_words(text: pl.Expr) -> pl.Expr:
    """The words of a text between spaces, so that an answer is found in it whole; null without a word."""
    found = words(normalised(text))
    return pl.when(found.list.len() > 0).then(pl.concat_str(pl.lit(" "), found.list.join(" "), pl.lit(" ")))


def final_number(text: pl.Expr) -> pl.Expr:
    """The last number in a text: the result, where an answer is a calculation; null where it has none."""
    return text.str.replace_all(r"(\d),(\d{3})", "$1$2").str.extract_all(NUMBER).list.last().cast(pl.Float64)
