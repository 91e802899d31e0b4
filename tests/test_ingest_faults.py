"""Records that cannot be used as they are -> repaired under a name, or set aside with the reason."""

import ast
import json
import re
from pathlib import Path

import pytest

from ingest_run import EXCHANGE, Turns, chat, ingest, ingest_records
from stages.ingest.dialects import RULES
from stages.ingest.unusable import ADVICE

PREAMBLE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)


@pytest.mark.parametrize(
    ("record", "reason", "field"),
    [
        ({"instruction": "Why?", "output": ""}, "empty_answer", "output"),
        ({"instruction": "Why?", "output": None}, "empty_answer", "output"),
        ({"instruction": "Why?", "output": " \n"}, "empty_answer", "output"),
        ({"instruction": "Why?", "output": "<nooutput>"}, "placeholder_answer", "output"),
        *(({"instruction": "Why?", "output": f"{no_value} "}, "placeholder_answer", "output") for no_value in ("NaN", "NULL", "#N/A", "\\N")),
        ({"instruction": "", "output": "a"}, "empty_prompt", "instruction"),
        ({"instruction": "", "input": "b", "output": "a"}, "empty_prompt", "instruction"),
        ({"prompt": "Why?", "response": 72}, "not_text", "response"),
        ({"question": ["Why?"], "answer": "a"}, "not_text", "question"),
        ({"prompt": "Why?<|im_end|>", "response": "a"}, "special_token", "prompt"),
        ({"prompt": "Why?", "response": "[/INST] a"}, "special_token", "response"),
        ({"prompt": "Why?", "response": "a<｜end▁of▁sentence｜>"}, "special_token", "response"),
        ({"text": "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Why?<|END_OF_TURN_TOKEN|>"}, "special_token", "text"),
        ({"text": "GPT4 Correct User: Why?<|end_of_turn|>"}, "special_token", "text"),
        (chat(("user", "<|im_start|>system"), ("assistant", "a")), "special_token", "messages[0].content"),
        ({"prompt": "Dear {{ name }}, why?", "response": "a"}, "unfilled_placeholder", "prompt"),
        ({"prompt": "Why?"}, "no_answer", "prompt"),
        ({"response": "Because."}, "no_prompt", "response"),
        ({"prompt": "Why?", "chosen": "a", "rejected": "b"}, "preference_pair", "chosen"),
        ({"prompt": "What?", "response": "a", "images": ["cat.png"]}, "image_content", "images"),
        ({"prompt": "What?", "response": "a", "image_path": "cat.png"}, "image_content", "image_path"),
        ({"prompt": "Why?", "completion": "a", "label": False}, "undesired_answer", "label"),
        ({**chat(("user", "q"), ("assistant", "a")), "kto_tag": False}, "undesired_answer", "kto_tag"),
        ({"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "user", "content": "q"}]}, "no_answer", "prompt + completion[0]"),
        ({"messages": [{"narrator": "user", "content": "q"}]}, "unknown_role", "messages[0].role"),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "loss": False}]}, "excluded_turn", "messages"),
        ({"text": PREAMBLE + "### Instruction:\nWhy?\n\n### Response:"}, "empty_answer", "text.response"),
        ({"parent_id": None, "role": "prompter", "text": "q"}, "tree_fragment", "parent_id"),
        ({"message_id": "1", "parent_id": None, "role": "prompter", "text": "q"}, "no_answer", "text"),
        ({"message_id": "1", "parent_id": "0", "role": "assistant", "text": "a"}, "missing_parent", "parent_id"),
        ({"message_id": 1, "parent_id": None, "role": "assistant", "text": "a"}, "no_message_id", "message_id"),
        *(({"prompt": "Why?", "response": "a", "weight": weight}, "bad_weight", "weight")
          for weight in (-1, 1001, float("nan"), "72 kg", True, [1])),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0.5}]}, "bad_weight", "messages[1].weight"),
        ({"message_tree_id": "t", "prompt": {"role": "prompter", "text": "q", "replies": [{"role": "assistant", "text": "a", "weight": -1}]}},
         "bad_weight", "prompt.replies[0].weight"),
        ({"text": ""}, "empty_text", "text"),
        ({"text": "good film", "label": 1}, "unknown_dialect", None),
        ({"a": 1}, "unknown_dialect", None),
        ({}, "unknown_dialect", None),
        (7, "not_an_object", None),
        (None, "not_an_object", None),
        ([1, 2], "not_an_object", None),
        ({"query": "q", "choices": ["a"], "gold": 1}, "invalid_choice", "gold"),
        ({"prompt": "a\0b", "response": "c"}, "nul_character", "prompt"),
        ({"prompt": "a\ud800b", "response": "c"}, "invalid_unicode", "prompt"),
        ({"chat_messages": [{"sender": "human", "text": "q", "attachments": [{"file_name": "a.pdf"}]}, {"sender": "assistant", "text": "a"}]},
         "image_content", "chat_messages[0].attachments"),
        ({"messages": []}, "no_turns", "messages[0]"),
        ({"messages": "hello"}, "no_turns", "messages"),
        ({"messages": ["hello"]}, "not_a_turn", "messages[0]"),
        (chat(("user", "q")), "no_answer", "messages[0]"),
        (chat(("assistant", "a")), "assistant_first", "messages[0]"),
        (chat(("system", "s"), ("assistant", "a")), "assistant_first", "messages[1]"),
        (chat(("user", "q"), ("user", "q"), ("assistant", "a")), "two_user_turns", "messages[1]"),
        (chat(("user", "q"), ("system", "s"), ("user", "q"), ("assistant", "a")), "two_user_turns", "messages[2]"),
        (chat(("user", "q"), ("assistant", "a"), ("assistant", "a")), "two_assistant_turns", "messages[2]"),
        (chat(("user", "q"), ("tool", "t"), ("assistant", "a")), "unexpected_tool_turn", "messages[1]"),
        (chat(("user", "q"), ("critic", "t"), ("assistant", "a")), "unknown_role", "messages[1].role"),
        (chat(("user", "q"), ("assistant", "")), "empty_answer", "messages[1]"),
        (chat(("user", " "), ("assistant", "a")), "empty_prompt", "messages[0]"),
        (chat(("user", 5), ("assistant", "a")), "not_text", "messages[0].content"),
        (chat(("user", [{"type": "image_url", "image_url": {}}]), ("assistant", "a")), "image_content", "messages[0].content[0]"),
        (chat(("user", [{"type": "dance"}]), ("assistant", "a")), "unknown_content_part", "messages[0].content[0]"),
        (chat(("user", ["one", "two"]), ("assistant", "a")), "unknown_content_part", "messages[0].content[0]"),
        ({**chat(("user", "q"), ("assistant", "a")), "tools": [{"functionDeclarations": ["add"]}]}, "invalid_tools", "tools"),
        (chat(("user", "q"), ("function_call", "add(1)")), "invalid_tool_call", "messages[1].content"),
        ({**chat(("user", "q"), ("assistant", "a")), "tools": "add"}, "invalid_tools", "tools"),
        ({"instruction": "q", "output": "\u200b\ufeff "}, "empty_answer", "output"),
        ({"instruction": "\u2060", "output": "a"}, "empty_prompt", "instruction"),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]}, "excluded_turn", "messages"),
    ],
)  # fmt: skip
def test_an_unusable_record_is_set_aside_with_reason_and_advice(
    record: object, reason: str, field: str | None, tmp_path: Path
) -> None:
    made = ingest_records([record], tmp_path)
    assert made.turns == []
    assert made.faults == [(1, reason, field)]
    [row] = made.quarantined.rows(named=True)
    assert row["byte_offset"] == len('{"instruction": "Say a.", "output": "a"}\n')
    assert row["found"] is not None
    assert row["expected"]
    assert row["fix"]


REPAIRS: dict[str, tuple[object, Turns | None, Turns, str | None]] = {
    "preamble_removed": (
        {"prompt": f"{PREAMBLE}### Instruction:\nWhy?\n\n### Response:\n", "response": "Because."},
        EXCHANGE,
        [("user", f"{PREAMBLE}### Instruction:\nWhy?\n\n### Response:\n"), ("assistant", "Because.")],
        None,
    ),
    "transcript_split": (
        {"text": "### Human: Why?### Assistant: Because."},
        EXCHANGE,
        [("text", "### Human: Why?### Assistant: Because.")],
        None,
    ),
    "placeholder_input_removed": (
        {"instruction": "Why?", "input": "<No Input>", "output": "Because."},
        EXCHANGE,
        [("user", "Why?\n\n<No Input>"), ("assistant", "Because.")],
        None,
    ),
    "trailing_turns_removed": (chat(*EXCHANGE, ("user", "Thanks")), EXCHANGE, [], "unanswered_turn"),
    "user_turns_merged": (
        chat(("user", "Hi."), *EXCHANGE),
        [("user", "Hi.\n\nWhy?"), ("assistant", "Because.")],
        [],
        "two_user_turns",
    ),
}


@pytest.mark.parametrize("repair", REPAIRS)
def test_a_repair_is_named_on_its_row_and_only_made_where_it_is_allowed(repair: str, tmp_path: Path) -> None:
    record, repaired, untouched, reason = REPAIRS[repair]
    for name in ("on", "off"):
        (tmp_path / name).mkdir()
    made = ingest_records([record], tmp_path / "on", repairs=[repair])
    assert made.turns == [repaired]
    assert made.conversations["repairs"].to_list() == [[repair]]
    assert made.facts["repairs"] == {repair: 1}
    made = ingest_records([record], tmp_path / "off", repairs=[])
    assert made.turns == ([untouched] if untouched else [])
    assert [fault[1] for fault in made.faults] == ([reason] if reason else [])


def test_windows_1252_is_read_where_it_is_allowed_and_what_may_be_else_is_not(tmp_path: Path) -> None:
    sound = {"question": "Wh\u00fd?", "answer": "It\u2019s \u20ac2"}
    mixed = b'{"question": "\xc3\xbd and \xfd", "answer": "a"}\n{"question": "\x81\xfd", "answer": "a"}\n'
    files = {
        "a.jsonl": json.dumps(sound, ensure_ascii=False).encode("cp1252") + b"\n" + mixed,
        "b.json": json.dumps([sound], ensure_ascii=False, indent=1).encode("cp1252"),
        "c.csv": "question,answer\n{question},{answer}\n".format(**sound).encode("cp1252") + b"q,a\n",
    }
    for folder in ("on", "off"):
        (tmp_path / folder / "raw").mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / folder / "raw" / name).write_bytes(content)
    made = ingest(tmp_path / "on" / "raw", folder=tmp_path / "on", repairs=["windows_1252_decoded"])
    assert made.turns == [[("user", sound["question"]), ("assistant", sound["answer"])]] * 3 + [
        [("user", "q"), ("assistant", "a")]
    ]
    assert made.facts["repairs"] == {"windows_1252_decoded": 3}
    assert made.faults == [(1, "invalid_utf8", None), (2, "invalid_utf8", None)]
    left = ingest(tmp_path / "off" / "raw", folder=tmp_path / "off")
    assert left.facts["reasons"] == {"invalid_utf8": 5}
    assert all("allow the repair windows_1252_decoded" in fix for fix in left.quarantined["fix"])


def test_a_preamble_with_an_input_becomes_the_prompt_and_its_input(tmp_path: Path) -> None:
    start = PREAMBLE.replace("task.", "task, paired with an input that provides further context.")
    prompt = f"{start}### Instruction:\nAdd.\n\n### Input:\n1\n2\n\n### Response:"
    assert ingest_records([{"prompt": prompt, "response": "3"}], tmp_path).turns == [
        [("user", "Add.\n\n1\n2"), ("assistant", "3")]
    ]


def test_placeholders_can_be_let_through(tmp_path: Path) -> None:
    record = {"prompt": "Explain {{ name }} in Jinja.", "response": "It prints."}
    assert len(ingest_records([record], tmp_path, placeholder_pattern=None).turns) == 1


def test_every_reason_in_the_code_comes_with_advice() -> None:
    root = Path(__file__).resolve().parent.parent / "stages"
    files = [path for folder in ("raw_files", "ingest") for path in (root / folder).glob("*.py")]
    raised = {
        value.value
        for file in files
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Damage", "Unusable")
        for value in ast.walk(call.args[0])
        if isinstance(value, ast.Constant) and re.fullmatch(r"[a-z][a-z0-9_]+", str(value.value))
    }
    told_by_kind = {rule.name for rule in RULES if rule.convert is None}
    assert len(raised) > 40
    assert raised | told_by_kind <= set(ADVICE)
