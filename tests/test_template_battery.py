"""Every published template at hand with every kind of conversation: what is proven, and what is refused and why.

The table is a record: a change to it is a change to what people's rows become.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from served_oracle import assert_served
from shared_data import shared_data
from tiny_tokenizer import TEXTS, make_tokenizer
from tokenized_rows import call, chat_of, reasons, row, talk, tokenize, tool

Message = dict[str, Any]
WEATHER_TOOL = tool("get_weather", "city")


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def answer(text: str, **fields: str) -> Message:
    return {"role": "assistant", "content": text, **fields}


def asks_tool(*results: str, said: str = "", calls: str = "", **fields: str) -> Sequence[Message]:
    called = answer(said, tool_calls=calls or call("get_weather", city="Paris"), **fields)
    told = [{"role": "tool", "content": result} for result in results]
    return [user("Weather in Paris?"), called, *told, answer("It is sunny.")]


TWO_CALLS = call("get_weather", city="Paris")[:-1] + ", " + call("get_weather", city="Rome")[1:]
THOUGHT = {"reasoning_content": "In Italian, easily."}
BATTERY = [
    talk("single", "What is 2+2?", "It is four."),
    talk("three", "One?", "Uno.", "Two?", "Due.", "Three?", "Tre."),
    talk("system", "Hi", "Hello.", "Bye", "Goodbye.", system="You are terse."),
    talk("letters", "e", "s", "t", "a", system="a"),
    talk("same", "Hi", "Hi", "Hi", "Hi"),
    talk("spaces", " Hi ", "  two before, one after \n", "\nMore\n\n", "\n\nDown.\n\n"),
    talk("markers", "user\nassistant\n[INST] USER: ### Response:\n", "assistant\nUSER: x [/INST] ###", "<think>", "model\nok"),
    talk("emoji", "Wie heißt du? 👩‍👩‍👧", "👨‍💻 Jürgen e\u0301 \u0301x 日本語\u200d", "😀", "\u0301😀🏽"),
    talk("jinja", "{{ messages }} {% raw %}", "{{ eos_token }} {%- endraw %}"),
    talk("private use", "\U00100000 \ue000", "\U00100001"),
    talk("end token", "Say it", "It is </s>."),
    talk("empty", "Hi", "", "Again?", "Yes."),
    row("answer first", [answer("Welcome!"), user("Hi"), answer("Hello.")]),
    row("two answers", [user("Hi"), answer("Hello."), answer("And welcome.")]),
    row("two questions", [user("Hi"), user("Are you there?"), answer("Yes.")]),
    row("late system", [user("Hi"), answer("Hello."), {"role": "system", "content": "In French."}, user("Hi"), answer("Salut.")]),
    row("thought", [user("One?"), answer("Uno.", **THOUGHT)]),
    row("thoughts", [user("One?"), answer("Uno.", **THOUGHT), user("Two?"), answer("Due.", **THOUGHT)]),
    talk("thought in text", "One?", "<think>\nHm.\n</think>\n\nUno."),
    talk("tools", "Hi", "Hello.", system="Be kind.", tools=WEATHER_TOOL),
    row("call", asks_tool('{"sunny": true}'), tools=WEATHER_TOOL),
    row("call with text", asks_tool('{"sunny": true}', said="Let me look."), tools=WEATHER_TOOL),
    row("two calls", asks_tool("sunny", "rainy", calls=TWO_CALLS), tools=WEATHER_TOOL),
    row("thought and call", asks_tool("sunny", **THOUGHT), tools=WEATHER_TOOL),
]  # fmt: skip
ALWAYS = {"end token": "control_token_in_text", "empty": "empty_answer", "answer first": "no_prompt"}
NO_THOUGHTS = {"thought": "dropped_reasoning", "thoughts": "dropped_reasoning"}
NO_CALLS = dict.fromkeys(["call", "call with text", "two calls", "thought and call"], "dropped_tool_call")
TEXT_ONLY = NO_THOUGHTS | NO_CALLS | {"tools": "dropped_tools"}
IN_TURN = {"two answers": "template_error", "two questions": "template_error", "late system": "template_error"}
NO_SYSTEM = {"system": "template_error", "letters": "template_error", "tools": "template_error"}
ONE_CALL = NO_THOUGHTS | {"call with text": "content_changed", "thought and call": "dropped_reasoning"}
OUTCOMES = {
    "alpaca": TEXT_ONLY | IN_TURN,
    "chatml": TEXT_ONLY | IN_TURN,
    "gemma-2-2b-it": TEXT_ONLY | IN_TURN | NO_SYSTEM,
    "llama-2-chat": TEXT_ONLY | IN_TURN,
    "llama-3": TEXT_ONLY,
    "llama-3.1-8b-instruct": ONE_CALL | {"two calls": "template_error"},
    "mistral-nemo-instruct-2407": ONE_CALL | IN_TURN,
    "phi-3.5-mini-instruct": TEXT_ONLY,
    "qwen2.5-7b-instruct": NO_THOUGHTS | {"thought and call": "dropped_reasoning"},
    "qwen3-training": {},
    "vicuna": TEXT_ONLY | IN_TURN,
    "zephyr": TEXT_ONLY | IN_TURN,
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("battery")
    make_tokenizer(folder, texts=[*TEXTS, "\n\n \n\n"], special_tokens=("</s>", "<s>"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": "<s>", "eos_token": "</s>"}))
    return folder


@pytest.mark.parametrize("template", sorted(OUTCOMES))
def test_each_conversation_is_trained_as_served_or_refused_for_this_reason(template: str, tokenizer: Path) -> None:
    path = str(shared_data(f"templates/{template}.jinja"))
    made = tokenize(tokenizer, *BATTERY, template=path, max_tokens=20_000)
    assert_served(made, BATTERY, chat_of(tokenizer, template=path))
    assert reasons(made) == ALWAYS | OUTCOMES[template]
