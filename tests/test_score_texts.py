"""The signals of `score` that are read off characters and words: languages, hidden characters, repetition."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rows import chat, row_id, table
from stages.score.characters import characters_of
from stages.score.repetition import repeats_of
from stages.score.stage import ScoreParams
from stages.score.transform import transform
from stages.texts.word_runs import Runs, word_hashes


def scored(*conversations: list[dict[str, Any]], **columns: Any) -> pl.DataFrame:
    rows = [{"row_id": row_id(str(n)), "messages": messages} | columns for n, messages in enumerate(conversations)]
    return transform(table("unique", rows), params=ScoreParams()).scored


def signals(prompt: str, answer: str, **columns: Any) -> dict[str, Any]:
    return scored(chat(prompt, answer), **columns).row(0, named=True)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The river is long, and it flows through the old town.", "en"),
        ("Der Fluss ist lang und fließt durch die alte Stadt.", "de"),
        ("La rivière est longue et elle traverse la vieille ville.", "fr"),
        ("El río es largo y pasa por la ciudad antigua, donde hay una torre.", "es"),
        ("Il fiume è lungo e passa per la città, dove c'è anche una torre.", "it"),
        ("O rio é longo e passa pela cidade antiga, onde não há uma torre.", "pt"),
        ("De rivier is lang en stroomt door het oude stadje dat aan zee ligt.", "nl"),
        ("Floden är lång och den rinner genom staden, men det är inte allt.", "sv"),
        ("Rzeka jest długa i płynie przez miasto, ale nie ma tam już wieży.", "pl"),
        ("Nehir uzun ve bir şehir için çok önemli, ama kule gibi değil.", "tr"),
        ("Dòng sông này rất dài và không có cầu trong thành phố.", "vi"),
        ("Река длинная, и она течёт через старый город, где есть башня.", "ru"),
        ("Річка довга, і вона тече через місто, де є також вежа, що вже не нова.", "uk"),
        ("النهر طويل وهو يمر عبر المدينة القديمة التي كانت على البحر", "ar"),
        ("رودخانه بلند است و از این شهر می گذرد که در آن است", "fa"),
        ("河流很长，流过古城。", "zh"),
        ("川は長く、古い町を流れています。", "ja"),
        ("강은 길고 오래된 도시를 흐릅니다.", "ko"),
        ("Ο ποταμός είναι μακρύς.", "el"),
        ("נהר ארוך זורם בעיר.", "he"),
        ("नदी लंबी है और शहर से बहती है।", "hi"),
        ("แม่น้ำยาวและไหลผ่านเมือง", "th"),
        ("Orva was formerly known as Lun.", "en"),
        ("Why is a crane known as a derrick?", "en"),
        ("La main change", None),
        ("Das Team trinkt Milk Tea im Club Apple, und das ist nicht alles.", "de"),
        ("Lun, Orva, Tessmere", None),
        ("x = 1", None),
        ("", None),
    ],
)
def test_the_language_of_a_text_is_told_or_left_open(text: str, language: str | None) -> None:
    assert signals("Go on.", text)["response_language"] == language


@pytest.mark.parametrize(
    ("prompt", "answer", "mismatch"),
    [
        ("Where does the river flow, and what is it called?", "Il coule dans la ville et il est très long.", True),
        ("Say it in French: where does the river flow?", "Il coule dans la ville et il est très long.", None),
        ("Where does the river flow, and what is it called?", "It is the Lun and it flows to the sea.", False),
        ("列出四座城市。", "Here are the four cities that you have asked for.", True),
        ("用“opulent”造句。", "The reception was held in an opulent room that had been built for it.", None),
        ("Where does the river flow, and what is it called?", "Lun", None),
    ],
)
def test_an_answer_in_another_language_than_its_question(prompt: str, answer: str, mismatch: bool | None) -> None:
    assert signals(prompt, answer)["language_mismatch"] is mismatch


@pytest.mark.parametrize(
    ("text", "invisible", "bidirectional", "control"),
    [
        ("a\u200bb", 1, 0, 0), ("\ufeffa", 1, 0, 0), ("👩\u200d🚀", 0, 0, 0), ("می\u200cخواهم", 0, 0, 0),
        ("a\u202eb", 0, 1, 0), ("a\u200eb", 0, 1, 0), ("שלום\u200f!", 0, 0, 0), ("שלום\u202e!", 0, 1, 0),
        ("a\x00b\x07", 0, 0, 2), ("a\tb\r\n", 0, 0, 0), ("क्\u200dष", 0, 0, 0), ("so\u00adft", 1, 0, 0),
        ("a\U000e0061\U000e0062", 2, 0, 0), ("🏴\U000e0067\U000e0062\U000e007f", 0, 0, 0), ("😀\U000e0101\U000e0102", 2, 0, 0),
        ("葛\U000e0100城", 0, 0, 0), ("葛\U000e0100\U000e0101", 1, 0, 0), ("\u3164a", 1, 0, 0),
    ],
)  # fmt: skip
def test_hidden_characters_count_where_no_script_needs_them(
    text: str, invisible: int, bidirectional: int, control: int
) -> None:
    found = signals("?", text)
    assert [found[f"{name}_count"] for name in ("invisible", "bidirectional", "control")] == [
        invisible, bidirectional, control,
    ]  # fmt: skip


def test_hidden_characters_of_every_turn_count() -> None:
    turns = chat("a\u200b", "b\u200b", "c\u200b", roles=["system", "user", "assistant"])
    assert scored(turns)["invisible_count"].to_list() == [3]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Itâ€™s cafÃ©", 2), ("\ufffd", 1), ("São Paulo, Ângela, não", 0), ("ÂÃ", 0), ("ãƒ†ã‚¹ãƒˆ", 3), ("amanhã… “manhã”", 0), ("Où êtes-vous, là-bas?", 0),
        ("România, însă", 0), ("Số điện thoại của Â", 0),
    ],
)  # fmt: skip
def test_text_read_in_the_wrong_encoding(text: str, count: int) -> None:
    assert signals("?", text)["mojibake_count"] == count


def test_shares_of_kinds_of_characters() -> None:
    found = signals("?", "AB cd 1!")
    shares = {name: found[name] for name in ("uppercase_share", "whitespace_share", "nonalphabetic_share")}
    assert shares == {"uppercase_share": 2 / 4, "whitespace_share": 2 / 8, "nonalphabetic_share": 4 / 8}
    assert signals("?", "東京")["uppercase_share"] == 0.0


def test_lines_paragraphs_words_and_characters_that_repeat() -> None:
    found = signals("?", "la la\nla la\n}\n}\n\nend\n\nend")
    assert found["repeated_line_share"] == 2 / 4  # braces say nothing
    assert found["repeated_paragraph_share"] == 1 / 3
    assert signals("?", "a b a b a b")["top_bigram_share"] == 3 / 5
    assert signals("?", "a b c d")["top_bigram_share"] == 0.0
    assert signals("?", "nooooo ------")["longest_character_run"] == 5


def test_diversity_does_not_fall_with_length() -> None:
    text = " ".join(f"word{n % 50}" for n in range(500))
    assert signals("?", text)["distinct_word_share"] == 1.0
    assert signals("?", "la " * 100)["distinct_word_share"] == 2 / 100
    assert signals("?", "...")["distinct_word_share"] is None


def test_what_is_opened_and_not_closed() -> None:
    assert signals("?", "f(a[0], {1: 2")["unclosed_brackets"] == 2
    assert signals("?", "1) a 2) b :)")["unclosed_brackets"] == 0
    assert signals("?", "```\nx")["unclosed_code_fence"] is True


texts = st.lists(st.text("ab ()[\u200b\u202eé京A1!\n", max_size=30), min_size=1, max_size=8)


@given(texts)
def test_characters_are_counted_alike_in_any_company(drawn: list[str]) -> None:
    together = characters_of(pl.Series(drawn, dtype=pl.String))
    for place, text in enumerate(drawn):
        alone = characters_of(pl.Series([text]))
        assert (together.counts[:, place] == alone.counts[:, 0]).all()
        assert (together.counts[:, place].sum(), together.longest_run[place]) == (len(text), alone.longest_run[0])
        assert (together.invisible[place], together.bidirectional[place]) == (
            alone.invisible[0],
            alone.bidirectional[0],
        )


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=12), min_size=1, max_size=6))
def test_repeats_are_what_a_plain_count_says(drawn: list[list[str]]) -> None:
    words = word_hashes(pl.Series([" ".join(words) for words in drawn], dtype=pl.String))
    found = repeats_of(Runs(words.hashes, words.counts))
    assert found.distinct.tolist() == [len(set(words)) for words in drawn]
    assert found.most.tolist() == [max(map(words.count, words), default=0) for words in drawn]
