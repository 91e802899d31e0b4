"""Requests and answers in the form of OpenAI's Responses API -> the fields that chats have."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def with_messages(record: dict[str, Any]) -> dict[str, Any]:
    """The record, with what was asked and answered as messages where both stand in it; any other record as it is."""
    answer = _answer_in(record)
    if answer is None:
        return record
    asked = next(
        (part for part in (_part(record, "request"), _part(record, "body"), answer, record) if "input" in part), None
    )
    if asked is None:
        return record
    given = asked["input"]
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    told = {name: part[name] for name in ("instructions", "tools") for part in (asked, answer) if part.get(name)}
    system = [{"role": "system", "content": told.pop("instructions")}] if "instructions" in told else []
    beside = {
        name: value
        for name, value in record.items()
        if name not in ("input", "output", "instructions", "response", "reasoning")
    }
    return {**beside, **told, "messages": [*system, *_messages([*items, *answer["output"]])]}


def _answer_in(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for part in (record, _part(record, "response"), _part(_part(record, "response"), "body")):
        if part.get("object") == "response" and isinstance(part.get("output"), list):
            return part
    return None


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _messages(items: Sequence[Any]) -> Iterator[Any]:
    """A message for each item; what was thought belongs to the next one."""
    thought = ""
    for item in items:
        match item:
            case {"type": "reasoning"}:
                told = [item.get(name) for name in ("summary", "content")]
                parts = [part for parts in told if isinstance(parts, list) for part in parts]
                thought += "".join(
                    part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
                )
                continue
            case {"type": "function_call", "name": name, "arguments": arguments}:
                call = {"id": item.get("call_id"), "name": name, "arguments": arguments}
                yield {"role": "assistant", "content": "", "tool_calls": [call], "reasoning": thought}
            case {"type": "function_call_output", "output": output}:
                yield {"role": "tool", "content": output}
            case {"role": "assistant"}:
                yield {**item, "reasoning": thought}
            case _:
                yield item
        thought = ""
