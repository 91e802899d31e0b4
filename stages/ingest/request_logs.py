"""Logs of requests to a model's server and of its answers, in OpenAI's form: read where both stand in one record."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.ingest.unusable import Unusable

ASKED_IN, ANSWERED_IN = ("request", "body", "input"), ("response", "output", "body")


def logged(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """A record with the answer behind the messages that asked for it; None for what is no such log.

    Raises Unusable for a request or an answer by itself, as the files of OpenAI's batches hold them, and for several
    answers to one request.
    """
    answers = next((found for part in _parts(record, ANSWERED_IN) if (found := _answers(part))), None)
    asked = next((part for part in _parts(record, ASKED_IN) if isinstance(part.get("messages"), list)), None)
    if answers is None:
        if asked and asked is not record and "custom_id" in record and "response" not in record:
            raise Unusable("request_alone", "body.messages", asked["messages"])
        return None
    if asked is None:
        raise Unusable("answer_alone", "response" if "response" in record else "choices", record)
    if len(answers) > 1:
        raise Unusable("several_answers", "choices", answers)
    tools = {"tools": asked["tools"]} if asked.get("tools") else {}
    return {**record, **tools, "messages": [*asked["messages"], answers[0]]}


def _parts(record: Mapping[str, Any], names: tuple[str, ...], depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """The record, and the objects in its fields of these names, and in theirs."""
    yield record
    for name in names if depth else ():
        if isinstance(inner := record.get(name), dict):
            yield from _parts(inner, names, depth - 1)


def _answers(part: Mapping[str, Any]) -> list[Any] | None:
    choices = part.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    are_answers = all(isinstance(one, dict) and isinstance(one.get("message"), dict) for one in choices)
    return [one["message"] for one in choices] if are_answers else None
