"""What stands beside a prompt and an answer -> part of the conversation, or a fault where it leaves open what was meant."""

import json
from pathlib import Path
from typing import Any

from ingest_run import EXCHANGE, Turns, chat, ingest_records

READ: dict[str, tuple[dict[str, Any], Turns]] = {
    "turns that a text answers": ({"input": chat(("user", "Why?"))["messages"], "output": "Because.", "reasoning": "on"}, EXCHANGE),
    "a request that a turn answers": ({"input": chat(("user", "Why?")), "output": chat(("assistant", "Because."))["messages"][0]}, EXCHANGE),
    "Natural Instructions": (
        {"Definition": ["Add."], "Positive Examples": [{"input": "1", "output": "1"}], "Instances": [{"input": "1 2", "output": ["3"]}]},
        [("user", "Add.\n\n1 2"), ("assistant", "3")],
    ),
    "Natural Instructions, flat": ({"definition": "Add.", "inputs": "1 2", "targets": "3"}, [("user", "Add.\n\n1 2"), ("assistant", "3")]),
    "P3": ({"inputs": [1], "inputs_pretokenized": "Why?", "targets": [2], "targets_pretokenized": "Because."}, EXCHANGE),
    "a solution and what comes out": ({"problem": "Why?", "solution": "Because.", "answer": "4"}, EXCHANGE),
    "a prompt that holds the question": ({"prompt": "Why?", "question": "Why", "answer": "Because.", "response": "Because"}, [("user", "Why?"), ("assistant", "Because")]),
    "a passage": ({"question": "Why?", "passage": "It rains.", "answer": "Rain."}, [("user", "Why?\n\nIt rains."), ("assistant", "Rain.")]),
    "passages": (
        {"question": "Why?", "contexts": ["It rains.", "It is May."], "answer": "Rain."},
        [("user", "Why?\n\nIt rains.\n\nIt is May."), ("assistant", "Rain.")],
    ),
    "choices that are shown": ({"question": "Why? A. No. B. Yes.", "choices": ["No.", "Yes."], "answer": "B"}, [("user", "Why? A. No. B. Yes."), ("assistant", "B")]),
    "messages before a pair": ({"question": "Why?", "chat_history": chat(*EXCHANGE)["messages"], "answer": "Because."}, EXCHANGE * 2),
    "turns written out as text": ({"prompt": json.dumps(chat(("user", "Why?"))["messages"]), "response": "Because."}, EXCHANGE),
    "more passages, titled ones too": (
        {"question": "Why?", "context": "It rains.", "passage": "It is May.", "documents": [{"title": "Rain", "text": "It falls."}, {"text": "Often."}], "answer": "Rain."},
        [("user", "Why?\n\nIt rains.\n\nIt is May.\n\nRain\nIt falls.\n\nOften."), ("assistant", "Rain.")],
    ),
    "a passage beside a chat": ({"document": "It rains.", **chat(*EXCHANGE, *EXCHANGE)}, [("user", "Why?\n\nIt rains."), EXCHANGE[1], *EXCHANGE]),
    "a passage that a chat holds, and the name of one": ({"document": "Why?", "article": "rain.pdf", **chat(*EXCHANGE)}, EXCHANGE),
    "a passage between messages and a pair": (
        {"question": "Why?", "chat_history": json.dumps(chat(*EXCHANGE)["messages"]), "context": "It rains.", "answer": "Rain."},
        [*EXCHANGE, ("user", "Why?\n\nIt rains."), ("assistant", "Rain.")],
    ),
    "ChatQA": ({"document": "It rains.", **chat(*EXCHANGE, ("user", "Why?")), "answers": ["Rain."]}, [("user", "Why?\n\nIt rains."), EXCHANGE[1], ("user", "Why?"), ("assistant", "Rain.")]),
    "messages behind the answer": ({"prompt": chat(("user", "Why?"))["messages"], "completion": chat(("assistant", "Because."), ("tool", "2"), EXCHANGE[1])["messages"], "reasoning": "Because."},
                                   [*EXCHANGE, ("tool", "2"), EXCHANGE[1]]),
    "a prompt that a message answers": ({"prompt": "Why?", "completion": chat(("assistant", "Because."))["messages"]}, EXCHANGE),
    "a chat and its first prompt": ({"instruction": "Why? ", **chat(*EXCHANGE)}, EXCHANGE),
    "one answer in a list": ({"question": "Why?", "answer": ["Because."], "turns": 1, "": "7"}, EXCHANGE),
    "instructions and input": ({"instructions": "Add.", "input": "1 2", "output": "3"}, [("user", "Add.\n\n1 2"), ("assistant", "3")]),
    "no messages, but a pair": ({"messages": [], "prompt": "Why?", "response": "Because."}, EXCHANGE),
    "SWE-agent": (
        {"trajectory": [{"role": "system", "system_prompt": "Be brief.", "text": None}, {"role": "user", "text": "Why?"}, {"role": "ai", "text": "Because."}], "target": True},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "the Responses API": (
        {"object": "response", "instructions": "Be brief.", "input": "Why?", "output": [{"type": "reasoning", "summary": 5}, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Because."}]}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
    "names in capitals, and who wrote it": ({"Messages": [{"Author": "User", "Message": "Why?"}, {"Author": "Bot", "Message": "Because."}]}, EXCHANGE),
    "an answer written out as text": ({"input": json.dumps(chat(("user", "Why?"))["messages"]), "output": json.dumps(chat(("assistant", "Because."))["messages"][0])}, EXCHANGE),
    "two system prompts of a chat": ({"system": "Be brief.", "system_prompt": "Be kind.", "systemPrompt": "Be brief.", **chat(*EXCHANGE)}, [("system", "Be brief."), ("system", "Be kind."), *EXCHANGE]),
    "two system prompts of a pair": ({"system": "Be brief.", "system_prompt": "Be kind.", "query": "Why?", "reply": "Because."}, [("system", "Be brief."), ("system", "Be kind."), *EXCHANGE]),
    "a list of answers as JSON in a cell": ({"question": "Why?", "answers": '["Because."]'}, EXCHANGE),
    "turns under another name": ({"dialog": chat(*EXCHANGE)["messages"], "turn": 1}, EXCHANGE),
    "MOSS": (
        {"meta_instruction": "Be brief.", "conversation": [{"human": "Why?", "assistant": "Because."}]},
        [("system", "Be brief."), *EXCHANGE],
    ),
}  # fmt: skip


def test_what_belongs_to_prompt_or_answer_is_read_with_them(tmp_path: Path) -> None:
    made = ingest_records([record for record, _ in READ.values()], tmp_path)
    assert made.faults == []
    assert made.turns == [expected for _, expected in READ.values()]


def test_tools_and_reasoning_beside_an_answer_belong_to_it(tmp_path: Path) -> None:
    calls = [{"name": "add", "arguments": {"a": 1}}]
    record = {"query": "1 + 2?", "answers": json.dumps(calls), "tools": [{"name": "add"}], "reasoning": "Let me add."}
    made = ingest_records([record, {**record, "answers": "3", "reasoning": "on"}], tmp_path)
    (call, answer) = (row[1] for row in made.conversations["messages"])
    assert json.loads(call["tool_calls"]) == [{"type": "function", "function": calls[0]}]
    assert (call["content"], call["reasoning_content"]) == ("", "Let me add.")
    assert (answer["content"], answer["reasoning_content"], answer["tool_calls"]) == ("3", None, None)
    assert [json.loads(tools)[0]["function"] for tools in made.conversations["tools"]] == [{"name": "add"}] * 2


def test_names_of_tools_and_calls_that_are_no_text_cost_one_record(tmp_path: Path) -> None:
    odd = [{"name": []}, {"name": {"add": 1}, "arguments": {}}]
    made = ingest_records(
        [{"query": "Why?", "answers": [call], "tools": [tool]} for call in odd for tool in odd], tmp_path
    )
    assert made.turns == []
    assert {fault[0] for fault in made.faults} == {1, 2, 3, 4}


def test_what_is_declared_or_thought_beside_turns_belongs_to_them(tmp_path: Path) -> None:
    tool, call = '{"name": "add", "type": "function"}', {"name": "add", "arguments": {"a": 1}}
    asked, answered = chat(*EXCHANGE)["messages"]
    functions = {"role": "system", "content": "", "functions": f"[{tool}]"}
    turns = [
        functions,
        asked,
        {**answered, "function_calls": "add(a=1)"},
        {"role": "environment", "content": "2"},
        answered,
    ]
    settings = {"custom_instructions": "Be brief.", "xml_tools": [tool]}
    record = {**chat(*EXCHANGE), "chat_template_kwargs": settings, "reasoning": ["It rains."]}
    made = ingest_records([{"messages": turns}, record], tmp_path)
    assert made.faults == []
    assert made.turns == [[EXCHANGE[0], EXCHANGE[1], ("tool", "2"), EXCHANGE[1]], [("system", "Be brief."), *EXCHANGE]]
    olmo, smol = made.conversations["messages"]
    assert json.loads(olmo[1]["tool_calls"]) == [{"type": "function", "function": call}]
    assert smol[-1]["reasoning_content"] == "It rains."
    declared = [{"type": "function", "function": {"name": "add"}}]
    assert [json.loads(tools) for tools in made.conversations["tools"]] == [declared] * 2


def test_tools_stand_in_metadata_too_and_thoughts_in_messages(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    asked, answered = chat(*EXCHANGE)["messages"]
    turns = {"messages": [asked, {**answered, "thoughts": "It rains.", "thinking": True}]}
    given = [{"tools": tools}, json.dumps({"tools": tools}), {"tools": 2}, '{"tools": ', "tools"]
    made = ingest_records([{**turns, "metadata": metadata} for metadata in given], tmp_path)
    assert made.turns == [EXCHANGE] * 5
    assert [turns[-1]["reasoning_content"] for turns in made.conversations["messages"]] == ["It rains."] * 5
    stated = [found and json.loads(found) for found in made.conversations["tools"]]
    assert stated == [tools, tools, None, None, None]


def test_what_was_thought_goes_with_the_answer_that_it_led_to(tmp_path: Path) -> None:
    s1k = {
        "question": "Why?",
        "solution": "Rain.",
        "cot": None,
        "thinking_trajectories": ["It rains."],
        "attempt": "Because.",
    }
    made = ingest_records([s1k], tmp_path)
    assert made.turns == [EXCHANGE]
    assert made.conversations["messages"][0][1]["reasoning_content"] == "It rains."


def test_columns_may_be_named_that_hold_reasoning_and_tools(tmp_path: Path) -> None:
    named = {"prompt": "problem", "response": "r1_solution", "reasoning": "r1_reasoning", "tools": "api"}
    record = {
        "problem": "Why?",
        "solution": "No.",
        "r1_reasoning": "It rains.",
        "r1_solution": "Because.",
        "api": '[{"name": "add"}]',
    }
    made = ingest_records([record], tmp_path, columns=named)
    assert made.turns == [EXCHANGE]
    assert made.conversations["messages"][0][1]["reasoning_content"] == "It rains."
    assert json.loads(made.conversations["tools"][0])[0]["function"] == {"name": "add"}


CELLS = {
    "['Because.']": EXCHANGE,
    "['Because.' 'So.']": None,
    "['Because.', 'So.']": None,
    "['Because": [EXCHANGE[0], ("assistant", "['Because")],
}


def test_a_list_of_answers_in_a_cell_is_a_list(tmp_path: Path) -> None:
    made = ingest_records([{"question": "Why?", "answers": cell} for cell in CELLS] * 20, tmp_path)
    assert made.turns == [turns for turns in CELLS.values() if turns] * 20
    assert [fault[1:] for fault in made.faults] == [("several_answers", "answers")] * 40
    assert made.facts["repairs"] == {"python_literal_read": 20}


SET_ASIDE: list[tuple[dict[str, Any], str, str]] = [
        ({"instruction": "Be brief.", "question": "Why?", "answer": "Because."}, "several_prompts", "question"),
        ({"question": "Why?", "response": "Because.", "answer": "So."}, "several_answers", "answer"),
        ({"instruction": "Be brief.", "data": {"prompt": "Why?", "response": "Because."}}, "several_prompts", "data.prompt"),
        ({"question": "Why?", "options": {"A": "No.", "B": "Yes."}, "answer": "B"}, "choices_not_shown", "answer"),
        ({"question": "Why?", "A": "No.", "B": "Yes.", "answer": "b)"}, "choices_not_shown", "answer"),
        ({**chat(*EXCHANGE), "rejected_response": "No."}, "preference_pair", "rejected_response"),
        ({"definition": "Add.", "instances": [{"input": "1 2", "output": ["3", "three"]}]}, "several_answers", "instances[0].output"),
        ({"definition": ["Add.", "Sum up."], "instances": [{"input": "1 2", "output": ["3"]}]}, "several_prompts", "definition"),
        ({"prompt": "Why?", "answer": ["Because.", "So."]}, "several_answers", "answer"),
        ({**chat(("user", "Why?")), "answers": ["Because.", "So."]}, "several_answers", "answers"),
        ({**chat(("user", "Why?")), "response": {"text": "Because."}}, "not_text", "response"),
        ({**chat(*EXCHANGE), "instruction": "Be brief."}, "several_prompts", "instruction"),
        ({**chat(*EXCHANGE), "context": {"page": 1}}, "not_text", "context"),
        ({"messages": [{"role": "user", "content": "Who?", "images": ["a.png"]}, {"role": "assistant", "content": "He."}]}, "image_content", "messages[0].images"),
        ({"question": "Why?", "answers": "[]"}, "not_text", "answers"),
        ({"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So.", "train_detail": [{"train": False}]}]}, "bad_weight", "messages[1].train_detail"),
        ({"context": "Why?", "response1": "Because.", "response2": "So."}, "preference_pair", "response1"),
        ({"text": "It rains for long.", "summary": "Rain."}, "unknown_dialect", None),
        ({"query": "Rain?", "answers": "[]", "tools": [{"name": "f"}]}, "empty_answer", "answers"),
]  # fmt: skip


def test_what_may_mean_two_things_or_is_half_of_what_is_needed_is_set_aside(tmp_path: Path) -> None:
    made = ingest_records([record for record, _, _ in SET_ASIDE], tmp_path)
    assert made.turns == []
    assert made.faults == [(number, reason, field) for number, (_, reason, field) in enumerate(SET_ASIDE, 1)]
