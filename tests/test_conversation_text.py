import re
import unicodedata
from typing import Any

import polars as pl
import pytest

from rows import chat, conversation, table
from stages.texts.conversation_text import (
    IN_NFKC,
    conversation_text,
    normalised,
    opening_text,
    prompt_text,
    response_text,
    words,
)

CALL = '[{"type": "function"}]'


def texts(messages: list[dict[str, Any]]) -> dict[str, str]:
    rows = table("conversations", [conversation("row", messages=messages)])
    found = rows.select(
        prompt=prompt_text(), response=response_text(), conversation=conversation_text(), opening=opening_text()
    )
    return found.row(0, named=True)


def test_a_question_and_its_answer() -> None:
    assert texts(chat("Where?", "There.")) == {
        "prompt": "Where?",
        "response": "There.",
        "conversation": "Where?\nThere.",
        "opening": "Where?",
    }


def test_the_system_turn_is_in_no_text() -> None:
    assert texts(chat("Be brief.", "Where?", "There.", roles=["system", "user", "assistant"])) == texts(
        chat("Where?", "There.")
    )


def test_the_prompt_is_what_was_asked_and_not_what_was_answered() -> None:
    found = texts(chat("One?", "1", "Two?", "2"))
    assert (found["prompt"], found["response"], found["opening"]) == ("One?\nTwo?", "2", "One?")


def test_a_document_is_its_own_response_and_has_no_prompt() -> None:
    assert texts([{"role": "text", "content": "Once."}]) == {
        "prompt": "",
        "response": "Once.",
        "conversation": "Once.",
        "opening": "Once.",
    }


def test_an_answer_that_is_a_tool_call_is_the_call() -> None:
    found = texts([{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "", "tool_calls": CALL}])
    assert (found["response"], found["conversation"]) == (CALL, f"Rain?\n{CALL}")


def test_what_a_tool_gave_back_belongs_to_the_prompt() -> None:
    turns = chat("Rain?", CALL, "yes", "It rains.", roles=["user", "assistant", "tool", "assistant"])
    assert texts(turns)["prompt"] == "Rain?\nyes"


def test_reasoning_is_part_of_the_conversation_and_of_the_response_on_request() -> None:
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4", "reasoning_content": "2, 3, 4"}]
    rows = table("conversations", [conversation("row", messages=turns)])
    assert rows.select(response_text()).item() == "4"
    assert rows.select(response_text(reasoning=True)).item() == "2, 3, 4\n4"
    assert rows.select(conversation_text()).item() == "2+2?\n2, 3, 4\n4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Ab \n\t c ", "ab c"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("ÀB", "àb"),
        ("A\u0300b", "àb"),
        ("", ""),
        (" \n", ""),
        ("\ufeffco\u00adope\u200brate\u200d", "cooperate"),
    ],
)
def test_normalised_text(text: str, expected: str) -> None:
    assert pl.select(normalised(pl.lit(text))).item() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it's x_1, 2.5!", ["it", "s", "x_1", "2", "5"]),
        ("写一首诗 about 春天", ["写", "一", "首", "诗", "about", "春", "天"]),
        ("カタカナとhangul 한국어", ["カ", "タ", "カ", "ナ", "と", "hangul", "한국어"]),
        ("?! …", []),
    ],
)
def test_words_are_runs_of_letters_and_single_characters_of_unspaced_scripts(text: str, expected: list[str]) -> None:
    assert pl.select(words(pl.lit(text))).item().to_list() == expected


def test_what_counts_as_brought_into_nfkc_is_left_alone_and_joins_nothing_before_it() -> None:
    joining = {parts[1] for character in map(chr, range(0x3000)) if len(parts := _composed_of(character)) == 2}
    stable = [c for c in map(chr, range(0x20000)) if re.fullmatch(f"[{IN_NFKC}]", c)]
    changed = [c for c in stable if unicodedata.normalize("NFKC", c) != c or unicodedata.combining(c) or c in joining]
    assert len(stable) > 30_000
    assert changed == []


def _composed_of(character: str) -> list[str]:
    parts = unicodedata.decomposition(character).split()
    return [] if parts[:1] and parts[0].startswith("<") else [chr(int(part, 16)) for part in parts]
