"""Dialects with a list of turns: ShareGPT and OpenAI messages, with reasoning, tool calls and tool results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeGuard

from stages.ingest.conversation import Conversation, Record, Rules, Turn, checked_turns, text_of
from stages.ingest.flat import task_of
from stages.ingest.stage import Repair
from stages.ingest.tool_calls import dumped, parsed, tool_calls_of, tools_text
from stages.ingest.transcripts import transcript
from stages.ingest.unusable import Unusable
from stages.raw_files.repair_names import PYTHON_READ

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "ai", "model", "bard", "bing"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response", "ipython"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),  # an assistant turn that is nothing but a call
}
SPEAKERS = dict.fromkeys(("role", "from", "sender")).keys()  # where a message says whose it is
# What question and answer are called where one object holds both.
EXCHANGES = (
    ("input", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("question", "answer"),
    ("prompt", "response"),
)
TEXT_PARTS = {"text", "input_text", "output_text"}
REASONING_PARTS = {"reasoning", "thinking"}
CALL_PARTS = {"tool_call", "tool_use", "function_call"}
GEMINI_CALL, GEMINI_RESULT = ("functionCall", "function_call"), ("functionResponse", "function_response")
ATTACHED = ("attachments", "files")  # what a message of Claude's export is about, beside its text
MEDIA_PARTS = {"image", "image_url", "input_image", "audio", "input_audio", "video", "video_url", "file", "input_file"}
PART_VALUES = ("text", "value", "content", "reasoning", "thinking")


def convert_turns(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """One conversation of any number of turns."""
    field = fields["turns"]
    noted: list[Repair] = []
    given = _given(record[field], field, rules, noted)
    if not isinstance(given, list):
        raise Unusable("no_turns", field, given)
    system = _system_of(record, fields.get("system"))
    turns = [Turn("system", system)] if system and not _starts_with(given, system) else []
    places = [fields.get("system", field)] * len(turns)
    learnt: dict[int, bool] = {}  # place of each answer
    messages = [one for number, message in enumerate(given) for one in _messages_in(message, f"{field}[{number}]")]
    for where, message in messages:
        _append(turns, message, where)
        place = len(turns) - 1
        places += [where] * (len(turns) - len(places))
        if turns[place].role == "assistant":  # a call that joined its turn is learnt with it or not at all
            learnt[place] = learnt.get(place, True) and _is_learnt(message, where)
    checked, repairs = checked_turns(turns, (places or [f"{field}[0]"]).__getitem__, rules)
    tools = tools_text(record.get(fields["tools"]), fields["tools"]) if "tools" in fields else None
    learn = _supervised(list(learnt.values()), field)
    return [Conversation(checked, tools, task_of(record, fields), (*noted, *repairs), learn)]


def _given(value: object, field: str, rules: Rules, noted: list[Repair]) -> object:
    """The list of turns, of whatever holds it; notes repairs that reading it took."""
    if isinstance(value, str) and "transcript_split" in rules.allowed and (turns := transcript(value)):
        noted.append("transcript_split")
        return [{"role": turn.role, "content": turn.content} for turn in turns]
    return _in_rows(parsed(value, "no_turns", field, noted if PYTHON_READ in rules.allowed else None))


def _in_rows(given: object) -> object:
    """Turns from a list of roles and a list of texts, as older versions of Hugging Face datasets store them in Parquet."""
    if not isinstance(given, dict) or not given or not all(isinstance(column, list) for column in given.values()):
        return given
    if len(set(map(len, given.values()))) > 1:
        return given
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


def _system_of(record: Record, field: str | None) -> str:
    """The system prompt beside the turns: a text, Gemini's object with parts, or Anthropic's and Amazon's list of them."""
    value = record.get(field) if field else None
    if field and isinstance(value, list):
        return _content_of(value, field)[0]
    return _content_of(value["parts"], f"{field}.parts")[0] if _has_parts(value) else text_of(record, field)


def _has_parts(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and "parts" in value


def _messages_in(message: object, where: str) -> Iterator[tuple[str, object]]:
    """The message with its place; of an exchange both of its sides, and a system prompt before them."""
    match message:
        case [str() as role, str() as said] if role.strip().lower() in ROLES:
            yield where, {"role": role, "content": said}
        case [str() as asked, str() as answered]:
            yield f"{where}[0]", {"role": "user", "content": asked}
            yield f"{where}[1]", {"role": "assistant", "content": answered}
        case {**fields} if names := _sides_of(fields):
            is_learnt = _is_learnt(fields, where) and fields.get("output_with_loss") is not False
            for role, name in zip(("system", "user", "assistant"), ("system", *names), strict=True):
                if role != "system" or fields.get(name):
                    yield f"{where}.{name}", {"role": role, "content": fields[name], "train": is_learnt}
        case {"type": "human" | "ai" | "system" | "tool" as speaker, **rest} if SPEAKERS.isdisjoint(map(str, rest)):
            inner = rest.get("data", rest)  # LangChain's
            yield where, {**inner, "role": speaker} if isinstance(inner, dict) else message
        case _:
            yield where, message


def is_turn(message: object) -> bool:
    """Whether an object is a message, or an exchange of two."""
    return isinstance(message, dict) and (not SPEAKERS.isdisjoint(message) or _sides_of(message) is not None)


def _sides_of(message: Mapping[Any, Any]) -> tuple[str, str] | None:
    """The names of question and answer in one exchange, as XTuner and others write chats."""
    if not SPEAKERS.isdisjoint(message):
        return None
    return next((names for names in EXCHANGES if message.keys() >= set(names)), None)


def _starts_with(given: Sequence[object], system: str) -> bool:
    """Whether the first turn says what the field for the system prompt says; another one does not replace it."""
    first = given[0] if given else None
    return _role_name(first) == "system" and isinstance(first, dict) and _text_field(first)[1] == system


def _text_field(message: Mapping[str, Any]) -> tuple[str, object]:
    """The field with what is said, and that."""
    given = [name for name in ("content", "value", "text", "parts") if name in message]
    name = next((name for name in given if message[name]), given[0] if given else "content")
    return name, message.get(name)


def _is_learnt(message: Any, where: str) -> bool:
    """OpenAI's fine-tuning files keep an answer of weight 0 out of the loss, Axolotl's one with train: false, ms-swift's one with
    loss: false. Raises Unusable for another weight than 0 and 1: a message has none of its own."""
    weight = message.get("weight")
    if weight is not None and weight not in (0, 1):
        raise Unusable("bad_weight", f"{where}.weight", weight)
    return weight != 0 and message.get("train") is not False and message.get("loss") is not False


def _supervised(learnt: Sequence[bool], field: str) -> tuple[bool, ...] | None:
    if not any(learnt):
        raise Unusable("excluded_turn", field, 0)
    return None if all(learnt) else tuple(learnt)


def _role_name(message: object) -> str | None:
    stated = next((message[name] for name in SPEAKERS if name in message), None) if isinstance(message, dict) else None
    return ROLES.get(stated.strip().lower()) if isinstance(stated, str) else None


def _append(turns: list[Turn], message: object, where: str) -> None:
    """Adds one message to `turns`; a call that stands by itself joins the assistant turn before it.

    Anthropic's form: a turn of the user's begins with the results of tools, which are turns of the tool's.
    """
    if not isinstance(message, dict):
        raise Unusable("not_a_turn", where, message)
    role = _role_name(message)
    if role is None:
        stated = [message[name] for name in SPEAKERS if name in message]
        spelt = next((name for name in SPEAKERS if name in message), "role")
        raise Unusable("unknown_role", f"{where}.{spelt}", stated[0] if stated else message)
    field, said = _text_field(message)
    if beside := next((name for name in ATTACHED if message.get(name)), None):
        raise Unusable("image_content", f"{where}.{beside}", message[beside])
    if role == "call":
        _append_calls(turns, tool_calls_of(said, f"{where}.{field}"))
        return
    parts = said if isinstance(said, list) and role != "assistant" else []
    results = list(takewhile(_is_tool_result, parts))
    for number, part in enumerate(results):
        turns.append(Turn("tool", _result_of(part, f"{where}.{field}[{number}]")))
    if results and len(results) == len(parts):
        return
    content, reasoning, calls = _content_of(said, f"{where}.{field}", len(results))
    calls += _stated_calls(message, where)
    reasoning = reasoning or _stated_reasoning(message, where)
    if role != "assistant":
        turns.append(Turn(role, content))
    else:
        turns.append(Turn(role, content, reasoning or None, dumped(calls) if calls else None))


def _append_calls(turns: list[Turn], calls: list[dict[str, Any]]) -> None:
    if turns and turns[-1].role == "assistant":
        earlier = json.loads(turns[-1].tool_calls) if turns[-1].tool_calls else []
        turns[-1] = turns[-1]._replace(tool_calls=dumped(earlier + calls))
    else:
        turns.append(Turn("assistant", "", None, dumped(calls)))


def _content_of(value: object, where: str, first: int = 0) -> tuple[str, str, list[dict[str, Any]]]:
    """Text, reasoning and tool calls of a message's content, which is a text or a list of typed parts, from part `first` on."""
    if value is None or isinstance(value, str):
        return value or "", "", []
    if not isinstance(value, list):
        raise Unusable("not_text", where, value)
    text, reasoning, calls = "", "", list[dict[str, Any]]()
    for number, part in enumerate(value[first:], first):
        place = f"{where}[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in TEXT_PARTS or _is_bare_text(part) or (isinstance(part, str) and len(value) == 1):
            text += _part_text(part, place)
        elif kind in REASONING_PARTS:
            reasoning += _part_text(part, place)
        elif call := _named(part, GEMINI_CALL):
            calls += tool_calls_of(call, place)
        elif kind in CALL_PARTS:
            calls += tool_calls_of(part.get("value", part), place)
        else:
            raise Unusable("image_content" if kind in MEDIA_PARTS else "unknown_content_part", place, part)
    return text, reasoning, calls


def _is_tool_result(part: object) -> bool:
    return isinstance(part, dict) and (part.get("type") == "tool_result" or bool(_named(part, GEMINI_RESULT)))


def _result_of(part: Mapping[str, Any], where: str) -> str:
    result = _named(part, GEMINI_RESULT)
    return dumped(result.get("response")) if result else _content_of(part.get("content"), f"{where}.content")[0]


def _named(part: object, names: Sequence[str]) -> dict[str, Any] | None:
    """The object in a part that has one of these names instead of a type."""
    found = [part[name] for name in names if isinstance(part.get(name), dict)] if isinstance(part, dict) else []
    return found[0] if found else None


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


def _stated_reasoning(message: Mapping[str, Any], where: str) -> str:
    name = next((name for name in ("reasoning_content", "reasoning", "thinking") if message.get(name)), None)
    value = message[name] if name else ""
    if not isinstance(value, str):
        raise Unusable("not_text", f"{where}.{name}", value)
    return value


def _stated_calls(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    name = next((name for name in ("tool_calls", "function_call") if message.get(name)), None)
    return tool_calls_of(message[name], f"{where}.{name}") if name else []
