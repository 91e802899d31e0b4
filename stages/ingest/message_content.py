"""What one message says, in whichever form: a text or typed parts, reasoning, calls of tools and what these gave back."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.ingest.spellings import MEDIA, SPELLINGS
from stages.ingest.tool_calls import dumped, tool_calls_of
from stages.ingest.unusable import Unusable

TEXT_PARTS = {"text", "input_text", "output_text"}
REASONING_PARTS = {"reasoning", "thinking"}
CALL_PARTS = {"tool_call", "tool_use", "function_call"}
GEMINI_CALL, GEMINI_RESULT = ("functionCall", "function_call"), ("functionResponse", "function_response")
ATTACHED = frozenset(("attachments", "files", *MEDIA))  # what a message is about, beside its text
THOUGHT = frozenset(SPELLINGS["reasoning"])
MEDIA_PARTS = {"image", "image_url", "input_image", "audio", "input_audio", "video", "video_url", "file", "input_file"}
PART_VALUES = ("text", "value", "content", "reasoning", "thinking")


def text_field(message: Mapping[str, Any]) -> tuple[str, object]:
    """The field with what is said, and that."""
    if said := message.get("content"):
        return "content", said
    given = [
        name
        for name in ("content", "value", "text", "parts", "message", "utterance", "refusal", "system_prompt")
        if name in message
    ]
    name = next((name for name in given if message[name]), given[0] if given else "content")
    return name, message.get(name)


def content_of(value: object, where: str, first: int = 0) -> tuple[str, str, list[dict[str, Any]]]:
    """Text, reasoning and tool calls of a message's content, which is a text or a list of typed parts, from part `first` on."""
    if value is None or isinstance(value, str):
        return value or "", "", []
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        value = [value]
    if not isinstance(value, list):
        raise Unusable("not_text", where, value)
    text, reasoning, calls = "", "", list[dict[str, Any]]()
    for number, part in enumerate(value[first:], first):
        place = f"{where}[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in TEXT_PARTS or _is_bare_text(part) or (isinstance(part, str) and len(value) == 1):
            text += _part_text(part, place)
        elif kind in REASONING_PARTS or _is_thought(part):
            reasoning += _part_text(part, place)
        elif call := _named(part, GEMINI_CALL):
            calls += tool_calls_of(call, place)
        elif kind in CALL_PARTS:
            calls += tool_calls_of(part.get("value", part), place)
        else:
            raise Unusable("image_content" if kind in MEDIA_PARTS else "unknown_content_part", place, part)
    return text, reasoning, calls


def is_tool_result(part: object) -> bool:
    return isinstance(part, dict) and (part.get("type") == "tool_result" or bool(_named(part, GEMINI_RESULT)))


def result_of(part: Mapping[str, Any], where: str) -> str:
    result = _named(part, GEMINI_RESULT)
    return dumped(result.get("response")) if result else content_of(part.get("content"), f"{where}.content")[0]


def _named(part: object, names: Sequence[str]) -> dict[str, Any] | None:
    """The object in a part that has one of these names instead of a type."""
    found = [part[name] for name in names if isinstance(part.get(name), dict)] if isinstance(part, dict) else []
    return found[0] if found else None


def _is_thought(part: object) -> bool:
    """Gemini's form."""
    return isinstance(part, dict) and part.get("thought") is True and isinstance(part.get("text"), str)


def _is_bare_text(part: object) -> bool:
    """Amazon's and Google's form: a part that is nothing but a text needs no type."""
    return isinstance(part, dict) and part.keys() == {"text"}


def _part_text(part: Mapping[str, Any] | str, where: str) -> str:
    if isinstance(part, str):
        return part
    value = next((part[name] for name in PART_VALUES if part.get(name) is not None), None)
    if not isinstance(value, str):
        raise Unusable("not_text", where, value)
    return value


def attached(message: Mapping[str, Any]) -> str | None:
    """The field of a message that holds more than text; None where there is none."""
    return next((n for n in message if n in ATTACHED and message[n] and not isinstance(message[n], bool | int)), None)


def stated_reasoning(message: Mapping[str, Any], where: str) -> str:
    """What was thought before the message; a field of that name may also say whether there was any."""
    if THOUGHT.isdisjoint(message):
        return ""
    given = (name for name in SPELLINGS["reasoning"] if message.get(name) and message[name] is not True)
    name = next(given, None)
    value = message[name] if name else ""
    if not isinstance(value, str):
        raise Unusable("not_text", f"{where}.{name}", value)
    return value


def stated_calls(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    name = next((name for name in ("tool_calls", "function_call", "function_calls") if message.get(name)), None)
    return tool_calls_of(message[name], f"{where}.{name}") if name else []
