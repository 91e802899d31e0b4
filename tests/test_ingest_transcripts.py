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
        ("USER: Why?\n\n\nASSISTANT: f() <|endoftext|>\n\n\nFUNCTION RESPONSE: 2\n\n\nASSISTANT: Because. <|endoftext|>",
         [WHY[0], ("assistant", "f()"), ("tool", "2"), WHY[1]]),
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhy? [/INST] Because. </s><s>[INST] Why? [/INST] Because. </s>", [("system", "Be brief."), *WHY * 2]),
        ("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause.<|im_end|>\n", WHY),
        ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nBecause.<|eot_id|>", WHY),
        ("<bos><start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\nBecause.<end_of_turn>\n", WHY),
        ("<|system|>\nBe brief.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\nBecause.</s>", [("system", "Be brief."), *WHY]),
        ("<｜begin▁of▁sentence｜>Be brief.<｜User｜>Why?<｜Assistant｜>Because.<｜end▁of▁sentence｜><｜User｜>Why?<｜Assistant｜>Because.<｜end▁of▁sentence｜>", [("system", "Be brief."), *WHY * 2]),
        ("<｜User｜>Why?<｜Assistant｜>Because.", WHY),
        ("<|im_start|>user\nWhy?\n<|im_start|>assistant\nBecause.<|im_end|>", []),
        ("[INST] Why? [/INST] Because. [/INST] So.", []),
        ("Human: I said.\nUser: No.", []),
        ("Question: Why?\nAnswer: Because.", []),
        ("He asked.\nHuman: Why?\nAssistant: Because.", []),
    ],
)  # fmt: skip
def test_the_first_mark_tells_what_the_others_look_like(text: str, expected: Turns) -> None:
    assert [(turn.role, turn.content) for turn in transcript(text)] == expected


@pytest.mark.parametrize("text", ["USER: " * 20_000, "## Human:" * 12_000, " " * 100_000, "System: " * 12_000, "A chat between a curious " * 4_000, "[INST] " * 12_000, "<|im_start|>user\n" * 8_000, "[INST]<<SYS>>" * 8_000])  # fmt: skip
def test_what_only_looks_like_a_transcript_is_told_at_once(text: str) -> None:
    assert transcript(text) == []


def test_a_transcript_that_lacks_its_answer_gets_it_from_the_response(tmp_path: Path) -> None:
    sound = {"prompt": "Is this a mark? Assistant:", "response": "No."}
    opened = {"prompt": "\n\nHuman: Why?\n\nAssistant: Because.\n\nHuman: Why?\n\nAssistant:", "response": " Because."}
    rendered = {"prompt": "<s>[INST] Why? [/INST] Because. </s>[INST] Why? [/INST]", "response": "Because.</s>"}
    made = ingest_records([opened, sound, rendered] * 40, tmp_path, special_token_pattern=None)
    assert made.turns == [EXCHANGE * 2, [("user", sound["prompt"]), ("assistant", "No.")], EXCHANGE * 2] * 40
    assert made.conversations["repairs"].to_list() == [["transcript_split"], None, ["transcript_split"]] * 40


def test_an_answer_below_a_prompt_of_alpaca_s_ends_before_the_mark_of_its_end(tmp_path: Path) -> None:
    asked = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nWhy?\n\n### Response:\n"
    made = ingest_records([{"text": f"{asked}Because.{end}"} for end in ("", "\n\n### End", "</s>")], tmp_path)
    assert made.turns == [EXCHANGE] * 3


def test_what_is_wrong_with_a_transcript_is_told_and_files_of_plain_text_hold_documents(tmp_path: Path) -> None:
    texts = ["### Human: Why?### Assistant: ", "Human: a\nHuman: b\nAssistant: c"]
    made = ingest_records([{"text": text} for text in texts], tmp_path)
    assert made.faults == [(1, "empty_answer", "text"), (2, "two_user_turns", "text")]
    (tmp_path / "plain").mkdir()
    assert ingest_text(texts[0] + "Yes.", tmp_path / "plain", "a.txt").turns == [[("text", texts[0] + "Yes.")]]
