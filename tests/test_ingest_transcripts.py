"""Chats written down as one text -> their turns; prose that only looks like one stays a document."""

from pathlib import Path

import pytest

from ingest_run import EXCHANGE, Turns, ingest_records, ingest_text
from stages.ingest.transcripts import transcript

WHY = [("user", "Why?"), ("assistant", "Because.")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("### Human: Why?### Assistant: Because.### Human: Why?### Assistant: Because.", WHY * 2),
        ("\n\nHuman: Why?\n\nAssistant: Because.\n\nHuman: Why?\n\nAssistant: Because.", WHY * 2),
        ("USER: Why? ASSISTANT: Because.</s>USER: Why? ASSISTANT: Because.</s>", WHY * 2),
        ("A chat between a curious user and an AI. It is kind. USER: Why? ASSISTANT: Because.",
         [("system", "A chat between a curious user and an AI. It is kind."), *WHY]),
        ("<human>: Why?\n<bot>: Because.", WHY),
        ("**User:** Why?\n\n**Assistant:** Because.", WHY),
        ("### System:\nBe brief.\n### User:\nWhy?\n### Assistant:\nBecause.", [("system", "Be brief."), *WHY]),
        ("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3", [("user", "Add.\n\n1 2"), ("assistant", "3")]),
        ("Human: Why?\nInput: x\nSystem: y\nUser: z\nAssistant: Because.", [("user", "Why?\nInput: x\nSystem: y\nUser: z"), WHY[1]]),
        ("Human: Why, Assistant: or not", []),
        ("Human: I said.\nUser: No.", []),
        ("Question: Why?\nAnswer: Because.", []),
        ("He asked.\nHuman: Why?\nAssistant: Because.", []),
    ],
)  # fmt: skip
def test_the_first_mark_tells_what_the_others_look_like(text: str, expected: Turns) -> None:
    assert [(turn.role, turn.content) for turn in transcript(text)] == expected


@pytest.mark.parametrize("text", ["USER: " * 20_000, "## Human:" * 12_000, " " * 100_000, "System: " * 12_000, "A chat between a curious " * 4_000])  # fmt: skip
def test_what_only_looks_like_a_transcript_is_told_at_once(text: str) -> None:
    assert transcript(text) == []


def test_a_transcript_that_lacks_its_answer_gets_it_from_the_response(tmp_path: Path) -> None:
    sound = {"prompt": "Is this a mark? Assistant:", "response": "No."}
    opened = {"prompt": "\n\nHuman: Why?\n\nAssistant: Because.\n\nHuman: Why?\n\nAssistant:", "response": " Because."}
    made = ingest_records([opened, sound] * 40, tmp_path)
    assert made.turns == [EXCHANGE * 2, [("user", sound["prompt"]), ("assistant", "No.")]] * 40
    assert made.conversations["repairs"].to_list() == [["transcript_split"], None] * 40


def test_what_is_wrong_with_a_transcript_is_told_and_files_of_plain_text_hold_documents(tmp_path: Path) -> None:
    texts = ["### Human: Why?### Assistant: ", "Human: a\nHuman: b\nAssistant: c"]
    made = ingest_records([{"text": text} for text in texts], tmp_path)
    assert made.faults == [(1, "empty_answer", "text"), (2, "two_user_turns", "text")]
    (tmp_path / "plain").mkdir()
    assert ingest_text(texts[0] + "Yes.", tmp_path / "plain", "a.txt").turns == [[("text", texts[0] + "Yes.")]]
