"""Logs of requests to a model's server and of its answers, in OpenAI's form: read where both stand in one record, and
known where one stands alone, as in the files of batches."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.ingest.unusable import Unusable

ASKED_IN, ANSWERED_IN = ("request", "body", "input", "params"), ("response", "output", "body", "result")
CUT_OFF = ("length", "max_tokens", "content_filter", "refusal")  # why an answer ended that is no whole one
NOT_ANSWERED = ("errored", "expired", "canceled")  # what Anthropic's batches tell of such a request


class Half(Unusable):
    """A request without its answer, or an answer without its request, that may stand elsewhere under the same id."""

    def __init__(self, reason: str, field: str, found: object, custom_id: str) -> None:
        super().__init__(reason, field, found)
        self.custom_id = custom_id


def logged(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """A record with the answer behind the messages that asked for it; None for what is no such log.

    Raises Half for a request or an answer by itself, as the files of batches hold them, and Unusable for one without an
    id, for a request that failed, and for several answers to one request.
    """
    _refuse_failed(record)
    answers = next((found for part in _parts(record, ANSWERED_IN) if (found := _answers(part))), None)
    asked = next((part for part in _parts(record, ASKED_IN) if isinstance(part.get("messages"), list)), None)
    if answers is None:
        if asked and asked is not record and "custom_id" in record and "response" not in record:
            place = next(name for name in ASKED_IN if name in record)
            raise _alone(record, "request_alone", f"{place}.messages", asked["messages"])
        return None
    if asked is None:
        raise _alone(record, "answer_alone", "response" if "response" in record else "choices", record)
    if len(answers) > 1:
        raise Unusable("several_answers", "choices", answers)
    message, ended = answers[0]
    if ended in CUT_OFF:
        raise Unusable("cut_off", "stop_reason" if "stop_reason" in message else "choices[0].finish_reason", ended)
    beside = {name: asked[name] for name in ("system", "tools") if asked.get(name)}
    return {**record, **beside, "messages": [*asked["messages"], message]}


def _alone(record: Mapping[str, Any], reason: str, field: str, found: object) -> Unusable:
    name = record.get("custom_id")
    return Half(reason, field, found, name) if isinstance(name, str) else Unusable(reason, field, found)


def _refuse_failed(record: Mapping[str, Any]) -> None:
    """Raises Unusable for what a batch tells of a request that got no answer."""
    match record:
        case {"custom_id": _, "error": dict() | str() as error, "response": None} if error:
            raise Unusable("failed_request", "error", _message(error))
        case {"custom_id": _, "response": {"body": {"error": dict() | str() as error}}} if error:
            raise Unusable("failed_request", "response.body.error", _message(error))
        case {"custom_id": _, "result": {"type": str() as kind, **rest}} if kind in NOT_ANSWERED:
            raise Unusable("failed_request", "result", _message(rest.get("error")) or kind)


def _message(error: object) -> object:
    """What an error says, in its own words where it has any."""
    while isinstance(error, dict) and (inner := error.get("message", error.get("error"))):
        error = inner
    return error


def _parts(record: Mapping[str, Any], names: tuple[str, ...], depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """The record, and the objects in its fields of these names, and in theirs."""
    yield record
    for name in names if depth else ():
        if isinstance(inner := record.get(name), dict):
            yield from _parts(inner, names, depth - 1)


def _answers(part: Mapping[str, Any]) -> list[tuple[Any, object]] | None:
    """Each answer, and why it ended."""
    match part:  # Anthropic's
        case {"type": "succeeded", "message": dict(message)} | ({"type": "message", "role": "assistant"} as message):
            return [(message, message.get("stop_reason"))]
    choices = part.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    are_answers = all(isinstance(one, dict) and isinstance(one.get("message"), dict) for one in choices)
    return [(one["message"], one.get("finish_reason")) for one in choices] if are_answers else None
