"""Records of every dialect -> conversations of one form."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest_run import EXCHANGE, Turns, chat, ingest_records

DIALECTS: dict[str, tuple[dict[str, Any], Turns]] = {
    "Alpaca": ({"instruction": "Why?", "input": "", "output": "Because."}, EXCHANGE),
    "Alpaca with input": ({"instruction": "Add.", "input": "1 2", "output": "3"}, [("user", "Add.\n\n1 2"), ("assistant", "3")]),
    "Alpaca with response": ({"Instruction": "Why?", "Response": "Because."}, EXCHANGE),
    "Alpaca with system and history": (
        {"instruction": "Why?", "output": "Because.", "system": "Be brief.", "history": [["Hi", "Hello"]]},
        [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), *EXCHANGE],
    ),
    "Dolly": (
        {"instruction": "Why?", "context": "It rains.", "response": "Rain.", "category": "closed_qa"},
        [("user", "Why?\n\nIt rains."), ("assistant", "Rain.")],
    ),
    "input and context": (
        {"instruction": "Why?", "input": "It rains.", "context": "It is May.", "output": "Rain."},
        [("user", "Why?\n\nIt rains.\n\nIt is May."), ("assistant", "Rain.")],
    ),
    "context that says what input says": (
        {"instruction": "Why?", "input": "It rains.", "context": "It rains.", "output": "Rain."},
        [("user", "Why?\n\nIt rains."), ("assistant", "Rain.")],
    ),
    "context of an input": (
        {"input": "Why?", "context": "It rains.", "output": "Rain."},
        [("user", "Why?\n\nIt rains."), ("assistant", "Rain.")],
    ),
    "prompt and completion": ({"prompt": "Why?", "completion": "Because."}, EXCHANGE),
    "prompt and response": ({"prompt": "Why?", "response": "Because.", "id": 7}, EXCHANGE),
    "question and answer": ({"question": "Why?", "answer": "Because."}, EXCHANGE),
    "input and output": ({"input": "Why?", "output": "Because."}, EXCHANGE),
    "HumanEval": ({"task_id": "1", "prompt": "def f():", "canonical_solution": " pass"}, [("user", "def f():"), ("assistant", " pass")]),
    "LAMBADA": ({"context": "He said", "continuation": "no"}, [("user", "He said"), ("assistant", "no")]),
    "ARC": ({"query": "Why?", "choices": ["No.", "Because."], "gold": 1}, EXCHANGE),
    "MT-bench": ({"turns": ["Why?", "Why?"], "reference": ["Because.", "Because."]}, EXCHANGE * 2),
    "ShareGPT": (
        {"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "OpenAI": ({"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}, EXCHANGE),
    "OpenAI with developer": (
        {"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "messages as JSON text": (
        {"messages": json.dumps([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}])},
        EXCHANGE,
    ),
    "content parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "value": "y?"}]},
                      {"role": "assistant", "content": [{"type": "output_text", "text": "Because."}]}]},
        EXCHANGE,
    ),
    "TRL's prompt and completion of turns": (
        {"prompt": [{"role": "user", "content": "Why?"}], "completion": [{"role": "assistant", "content": "Because."}]},
        EXCHANGE,
    ),
    "KTO, desired": ({"prompt": "Why?", "completion": "Because.", "label": True}, EXCHANGE),
    "turns with a text": ({"messages": [{"role": "user", "text": "Why?"}, {"role": "assistant", "text": "Because."}]}, EXCHANGE),
    "a system prompt beside another": (
        {"system": "Be kind.", "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        [("system", "Be kind."), ("system", "Be brief."), *EXCHANGE],
    ),
    "a system prompt beside the same": (
        {"system": "Be brief.", "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "Gemini": (
        {"systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
         "contents": [{"role": "user", "parts": [{"text": "Wh"}, {"text": "y?"}]}, {"role": "model", "parts": ["Because."]}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "Claude's export": (
        {"name": "Rain", "chat_messages": [{"sender": "human", "text": "Why?", "content": [{"type": "text", "text": "Why?"}]},
                                           {"sender": "assistant", "text": "Because.", "content": []}]},
        EXCHANGE,
    ),
    "contents beside a pair": ({"prompt": "Why?", "response": "Because.", "contents": "a page"}, EXCHANGE),
    "XTuner": (
        {"conversation": [{"system": "Be brief.", "input": "Why?", "output": "Because."}, {"input": "Why?", "output": "Because."}]},
        [("system", "Be brief."), *EXCHANGE, *EXCHANGE],
    ),
    "exchanges": ({"conversation": [{"human": "Why?", "assistant": "Because."}] * 2}, EXCHANGE * 2),
    "UltraChat": ({"id": "7", "data": ["Why?", "Because.", "Why?", "Because."]}, EXCHANGE * 2),
    "exchanges in pairs": ({"conversations": [["Why?", "Because."], ["Why?", "Because."]]}, EXCHANGE * 2),
    "turns in pairs": ({"messages": [["user", "Why?"], ["assistant", "Because."]]}, EXCHANGE),
    "LIMA": ({"conversations": ["Why?", "Because.", "Why?", "Because."], "source": "s"}, EXCHANGE * 2),
    "LangChain": ({"messages": [{"type": "human", "content": "Why?"}, {"type": "ai", "data": {"content": "Because."}}]}, EXCHANGE),
    "LangSmith": ({"inputs": {"question": "Why?"}, "outputs": {"answer": "Because."}, "metadata": {}}, EXCHANGE),
    "Amazon Bedrock": (
        {"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Why?"}]}, {"role": "assistant", "content": [{"text": "Because."}]}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "document": ({"text": "Once upon a time.", "url": "here"}, [("text", "Once upon a time.")]),
    "a table of two dialects": ({"messages": None, "prompt": "Why?", "response": "Because.", "text": None}, EXCHANGE),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_becomes_the_same_kind_of_conversation(dialect: str, tmp_path: Path) -> None:
    record, expected = DIALECTS[dialect]
    made = ingest_records([record], tmp_path)
    assert made.turns == [expected]
    assert made.faults == []
    assert made.conversations["repairs"].to_list() == [None]


def test_many_dialects_stand_in_one_file(tmp_path: Path) -> None:
    made = ingest_records([record for record, _ in DIALECTS.values()], tmp_path)
    assert made.turns == [expected for _, expected in DIALECTS.values()]
    assert made.conversations["record"].to_list() == list(range(1, len(DIALECTS) + 1))


@pytest.mark.parametrize(("field", "off"), [("weight", 0), ("train", False)])
def test_answers_that_the_source_keeps_out_of_the_loss_are_told(field: str, off: object, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    off_turns = [turns[0], turns[1] | {field: off}]
    made = ingest_records([{"messages": [*off_turns, *turns]}, {"messages": turns}], tmp_path)
    assert made.turns == [EXCHANGE * 2, EXCHANGE]
    assert made.conversations["supervised"].to_list() == [[False, True], None]


def test_what_a_record_weighs_is_told_in_every_dialect(tmp_path: Path) -> None:
    pair = {"instruction": "Why?", "output": "Because."}
    stated = [{**pair, "weight": 0.5}, {**chat(*EXCHANGE), "weight": 2}, {"Customer Q": "Why?", "Bot A": "Because.", "weight": "1.5"},
              {**pair, "weight": 0}, {"text": "Once.", "loss_weight": 3}, {**pair, "weight": None}, {**pair, "weight": " "}, pair]  # fmt: skip
    made = ingest_records(stated, tmp_path)
    assert made.faults == []
    assert made.conversations["weight"].to_list() == [0.5, 2.0, 1.5, 0.0, 3.0, None, None, None]
    assert made.facts["weights"] == {"data": {"rows": 5, "min": 0.0, "max": 3.0}}
    assert made.facts["told"][0].startswith("data: 5 rows weigh 0 to 3 in the loss")


def test_of_turns_in_prompt_and_completion_only_the_completion_is_learnt(tmp_path: Path) -> None:
    made = ingest_records(
        [
            {
                "prompt": chat(*EXCHANGE, ("user", "Sure?"))["messages"],
                "completion": chat(("assistant", "Yes."))["messages"],
            }
        ],
        tmp_path,
    )
    assert made.turns == [[*EXCHANGE, ("user", "Sure?"), ("assistant", "Yes.")]]
    assert made.conversations["supervised"].to_list() == [[False, True]]


def test_a_bare_list_of_messages_is_a_conversation(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    assert ingest_records([messages], tmp_path).turns == [EXCHANGE]


def test_labels_of_the_source_become_the_task(tmp_path: Path) -> None:
    made = ingest_records([DIALECTS["Dolly"][0], DIALECTS["Alpaca"][0]], tmp_path)
    assert made.conversations["task"].to_list() == ["closed_qa", None]


def test_self_instruct_seeds_give_a_conversation_for_each_instance(tmp_path: Path) -> None:
    instances = [{"input": "1", "output": "one"}, {"input": "2", "output": ""}, {"input": "", "output": "none"}]
    made = ingest_records([{"id": "s", "instruction": "Spell.", "instances": instances}], tmp_path)
    assert made.turns == [[("user", "Spell.\n\n1"), ("assistant", "one")], [("user", "Spell."), ("assistant", "none")]]
    assert made.faults == [(1, "empty_answer", "instances[1].output")]


def test_anthropic_s_results_of_tools_are_turns_of_the_tool(tmp_path: Path) -> None:
    use = [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}}]
    result = [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "3"}]}]
    made = ingest_records(
        [chat(("user", "1 + 2?"), ("assistant", use), ("user", result), ("assistant", "It is 3."))], tmp_path
    )
    assert made.turns == [
        [("user", "1 + 2?"), ("assistant", "Let me see."), ("tool", "3"), ("assistant", "It is 3.")],
    ]


def test_each_of_anthropic_s_results_is_a_turn_and_what_the_user_says_behind_them_too(tmp_path: Path) -> None:
    use = [{"type": "tool_use", "id": f"t{n}", "name": "add", "input": {"a": n}} for n in (1, 2)]
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "3"},
        {"type": "tool_result", "tool_use_id": "t2"},
    ]
    text = {"type": "text", "text": "And?"}
    made = ingest_records(
        [
            chat(("user", "1 + 2?"), ("assistant", use), ("user", [*results, text]), ("assistant", "It is 3.")),
            chat(("user", "1 + 2?"), ("assistant", use), ("user", [text, *results]), ("assistant", "It is 3.")),
            chat(("user", "1 + 2?"), ("assistant", use), ("user", results), ("assistant", " ")),
        ],
        tmp_path,
    )
    assert made.turns == [
        [
            ("user", "1 + 2?"),
            ("assistant", ""),
            ("tool", "3"),
            ("tool", ""),
            ("user", "And?"),
            ("assistant", "It is 3."),
        ]
    ]
    assert made.faults == [
        (2, "unknown_content_part", "messages[2].content[1]"),
        (3, "empty_answer", "messages[3]"),
    ]


def test_a_part_that_is_a_text_and_nothing_else_needs_no_type(tmp_path: Path) -> None:
    made = ingest_records([chat(("User", [{"text": "Why?"}]), ("Chatbot", [{"text": "Because."}]))], tmp_path)
    assert made.turns == [EXCHANGE]


@pytest.mark.parametrize(
    ("label", "is_used"), [(True, True), (False, False), ("False", False), ("True", True), (0, True)]
)
def test_an_answer_that_was_not_desired_is_no_example(label: object, is_used: bool, tmp_path: Path) -> None:
    made = ingest_records([{"prompt": "Why?", "completion": "Because.", "label": label}], tmp_path)
    assert made.turns == [EXCHANGE] * is_used
    assert made.faults == [(1, "undesired_answer", "label")] * (not is_used)


CALL = {"name": "add", "arguments": {"a": 1, "b": [2]}}
TOOL = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
TOOL_DIALECTS: dict[str, dict[str, Any]] = {
    "ShareGPT": {
        "conversations": [
            {"from": "human", "value": "1 + 2?"},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "It is 3."},
        ],
        "tools": json.dumps([TOOL]),
    },
    "OpenAI": {
        "messages": [
            {"role": "user", "content": "1 + 2?"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"type": "function", "function": {"name": "add", "arguments": json.dumps(CALL["arguments"])}}]},
            {"role": "tool", "content": "3"},
            {"role": "assistant", "content": "It is 3."},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    },
    "content parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "value": "1 + 2?"}]},
            {"role": "assistant", "content": [{"type": "tool_call", "value": json.dumps(CALL)}]},
            {"role": "tool", "content": [{"type": "text", "value": "3"}]},
            {"role": "assistant", "content": [{"type": "text", "value": "It is 3."}]},
        ],
        "tools": json.dumps([{"type": "function", "function": TOOL}]),
    },
}  # fmt: skip


@pytest.mark.parametrize("dialect", TOOL_DIALECTS)
def test_tool_calls_come_out_in_one_form(dialect: str, tmp_path: Path) -> None:
    made = ingest_records([TOOL_DIALECTS[dialect]], tmp_path)
    assert made.turns == [[("user", "1 + 2?"), ("assistant", ""), ("tool", "3"), ("assistant", "It is 3.")]]
    [row] = made.conversations.rows(named=True)
    assert json.loads(row["tools"]) == [{"type": "function", "function": TOOL}]
    assert json.loads(row["messages"][1]["tool_calls"]) == [{"type": "function", "function": CALL}]
    assert [turn["tool_calls"] for turn in row["messages"] if turn["role"] != "assistant"] == [None, None]


def test_calls_in_a_row_are_one_turn_with_the_text_before_them(tmp_path: Path) -> None:
    turns = [("human", "Do."), ("gpt", "I shall."), *[("function_call", json.dumps({"name": n, "arguments": {}})) for n in "ab"],
             ("observation", "1"), ("observation", "2"), ("gpt", "Done.")]  # fmt: skip
    made = ingest_records([{"conversations": [{"from": role, "value": value} for role, value in turns]}], tmp_path)
    [messages] = made.conversations["messages"].to_list()
    assert [turn["role"] for turn in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert messages[1]["content"] == "I shall."
    assert [call["function"]["name"] for call in json.loads(messages[1]["tool_calls"])] == ["a", "b"]


@pytest.mark.parametrize(
    "answer",
    [
        {"content": [{"type": "reasoning", "value": "Hm."}, {"type": "text", "value": "Because."}]},
        {"content": "Because.", "reasoning_content": "Hm."},
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(answer: dict[str, Any], tmp_path: Path) -> None:
    made = ingest_records(
        [{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", **answer}]}], tmp_path
    )
    assert made.turns == [EXCHANGE]
    assert [turn["reasoning_content"] for turn in made.conversations["messages"][0]] == [None, "Hm."]
