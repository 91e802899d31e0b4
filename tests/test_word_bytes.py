import re
import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.texts.conversation_text import WORD
from stages.texts.word_bytes import text_words

PIECES = st.sampled_from(
    ["a", "B", "zebra", "extraordinarily", "x" * 70, "x" * 71, "4", "é", "É", "ﬁ", "춘", "春", "眠", "ก", " ", "  ", "\n", "\u00a0",
     "-", "!", "?", "…", "“", "_", "’", "'", "\x00", "😀"]
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6)


def normal(text: str) -> str:
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).lower()).strip(" ")


def words_of(text: str) -> list[str]:
    return list(pl.Series([normal(text)]).str.extract_all(WORD)[0])


@given(TEXTS)
def test_words_are_those_of_the_normalised_text_and_equal_words_have_equal_hashes(texts: list[str]) -> None:
    made = text_words(pl.Series(texts, dtype=pl.String))
    expected = [words_of(text) for text in texts]
    assert made.counts.tolist() == [len(words) for words in expected]
    spelled = [word for words in expected for word in words]
    assert (
        len(set(zip(spelled, made.hashes.tolist(), strict=True))) == len(set(spelled)) == len(set(made.hashes.tolist()))
    )


@given(TEXTS)
def test_texts_are_told_apart_by_words_and_symbols_exactly_when_case_and_white_space_do_not_explain_it(
    texts: list[str],
) -> None:
    made = text_words(pl.Series(texts, dtype=pl.String))
    ends = made.counts.cumsum()
    told = [
        (tuple(made.hashes[end - count : end].tolist()), between)
        for end, count, between in zip(ends, made.counts, made.between.tolist(), strict=True)
    ]
    for one, told_one in zip(texts, told, strict=True):
        for other, told_other in zip(texts, told, strict=True):
            assert (normal(one) == normal(other)) == (told_one == told_other), (one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("a - b", "a -b"), ("a-b", "a - b"), (".- -", "--."), ("!?", "?!"), ("a!", "!a"), ("- -", "--")]
)
def test_order_and_spacing_of_symbols_tell_texts_apart(one: str, other: str) -> None:
    made = text_words(pl.Series([one, other]))
    assert made.between[0] != made.between[1]
