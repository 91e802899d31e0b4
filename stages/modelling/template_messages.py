"""Puts messages of the `conversations` dataset into the forms that chat templates read."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from stages.errors import DataError

Message = dict[str, Any]
Tools = list[dict[str, Any]]
# What templates call the thought before an answer: gpt-oss `thinking`, Apriel `thought`, most `reasoning_content`.
REASONING = ("thinking", "reasoning_content", "reasoning", "thought")
DEEPEST = 100  # lists and objects in JSON; what Python and Jinja can still follow hangs on who calls them


class RenderError(DataError):
    """This conversation cannot be rendered; the text is the template's own, or says which message cannot be read."""


def template_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Messages of the `conversations` dataset as templates expect them: what is null is left out, tool calls parsed.

    Raises RenderError, with the position, where tool_calls is not a JSON array of calls.
    """
    return [_template_message(message, position) for position, message in enumerate(messages)]


def _template_message(message: Mapping[str, Any], position: int) -> Message:
    made: Message = {"role": message["role"], "content": message["content"]}
    if reasoning := message.get("reasoning_content"):
        made |= dict.fromkeys(REASONING, reasoning)
    if calls := message.get("tool_calls"):
        parsed = _parse_array(calls, f"tool_calls of message {position}")
        made |= {"tool_calls": [_parse_arguments(call, position) for call in parsed]} if parsed else {}
    return made


def _parse_arguments(call: Any, position: int) -> Message:
    """A call in OpenAI form with its arguments as an object: templates write them as JSON themselves."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RenderError(f"tool_calls of message {position} holds a call without function.name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):  # text that is no JSON stays as the source has it
            arguments = _read_json(arguments, f"a call in message {position}")
    return {**call, "function": {**function, "arguments": arguments}}


def template_tools(tools: str | None) -> Tools | None:
    """The `tools` column as templates expect it; None where no tool is offered. Raises RenderError."""
    return (_parse_array(tools, "tools") or None) if tools else None


def _parse_array(text: str, what: str) -> list[Any]:
    try:
        parsed = _read_json(text, what)
    except ValueError as error:
        raise RenderError(f"{what} is not JSON: {error}") from error
    if not isinstance(parsed, list):
        raise RenderError(f"{what} is a JSON {type(parsed).__name__} and no array")
    return parsed


def _read_json(text: str, what: str) -> Any:
    """Raises ValueError for what is no JSON, and RenderError for JSON that no text could be made of."""
    try:
        parsed = json.loads(text)
        if text.count("{") + text.count("[") > DEEPEST and _depth(parsed) > DEEPEST:
            raise RecursionError
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RenderError(
            f"{what} holds {error.object[error.start]!a}, half a character, which no token stands for"
        ) from error
    except RecursionError as error:
        raise RenderError(f"{what} has lists and objects within one another, more than {DEEPEST} deep") from error
    return parsed


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [inner for outer in level if isinstance(outer, (dict, list)) for inner in _members(outer)]:
        depth += 1
    return depth


def _members(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def as_parts(messages: Sequence[Message]) -> list[Message]:
    """The messages with their content as a list of one text part, the only form that some vision templates read."""
    return [message | {"content": [{"type": "text", "text": message["content"]}]} for message in messages]


def other_forms(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Forms to try where a template stumbles over tool calls: results that name their call, arguments as JSON text."""
    if not any("tool_calls" in message for message in messages):
        return
    named = _with_call_ids(messages)
    yield named
    yield _with_text_arguments(messages)
    yield _with_text_arguments(named)


def _with_call_ids(messages: Sequence[Message]) -> list[Message]:
    """Every call with an id, and every result with that of the call it answers: the first not answered yet."""
    made, number, open_calls = [], 0, list[Message]()
    for message in messages:
        if calls := message.get("tool_calls"):
            open_calls = [{"id": f"call{number + place:05d}"} | call for place, call in enumerate(calls)]
            number += len(calls)
            made.append(message | {"tool_calls": list(open_calls)})
        elif message["role"] == "tool" and open_calls:
            call = open_calls.pop(0)
            made.append(message | {"tool_call_id": call["id"], "name": call["function"]["name"]})
        else:
            made.append(message)
    return made


def _with_text_arguments(messages: Sequence[Message]) -> list[Message]:
    return [
        message | {"tool_calls": [_with_text(call) for call in message["tool_calls"]]}
        if "tool_calls" in message
        else message
        for message in messages
    ]


def _with_text(call: Message) -> Message:
    arguments = call["function"]["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return call | {"function": call["function"] | {"arguments": text}}
