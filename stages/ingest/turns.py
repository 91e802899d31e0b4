"""Dialects with a list of turns: ShareGPT and OpenAI messages, with reasoning, tool calls and tool results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from stages.ingest.beside_turns import (
    answers_beside,
    refuse_other_instruction,
    stated_tools,
    system_texts,
    with_passages,
    with_reasoning,
)
from stages.ingest.conversation import Conversation, Record, Rules, Turn, checked_turns
from stages.ingest.flat import task_of
from stages.ingest.message_content import (
    attached,
    content_of,
    is_tool_result,
    result_of,
    stated_calls,
    stated_reasoning,
    text_field,
)
from stages.ingest.spellings import plain
from stages.ingest.stage import Repair
from stages.ingest.tool_calls import dumped, parsed, tool_calls_of
from stages.ingest.transcripts import transcript
from stages.ingest.unusable import Unusable
from stages.raw_files.repair_names import PYTHON_READ

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "ai", "model", "bard", "bing"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "environment", "ipython"), "tool"),
    **{f"{of}_{what}": "tool" for of in ("function", "tool") for what in ("response", "result", "output")},
    **dict.fromkeys(("function_call", "tool_call"), "call"),  # an assistant turn that is nothing but a call
}
SPEAKERS = dict.fromkeys(("role", "from", "sender", "speaker")).keys()  # where a message says whose it is
TRAINED, TRAINED_IN_PARTS = ("train", "training", "trainable", "loss"), ("train_detail", "training_detail")
LEARNT_BY = {"weight", *TRAINED, *TRAINED_IN_PARTS}
# What question and answer are called where one object holds both.
EXCHANGES = (
    ("input", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("question", "answer"),
    ("prompt", "response"),
    ("query", "response"),
    ("user", "bot"),
    ("human", "bot"),
    ("human", "gpt"),
)


def convert_turns(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """One conversation of any number of turns."""
    field = fields["turns"]
    noted: list[Repair] = []
    given = _given(record[field], field, rules, noted)
    if not isinstance(given, list):
        raise Unusable("no_turns", field, given)
    systems = [(place, text) for place, text in system_texts(record, fields) if not _starts_with(given, text)]
    if "transcript_split" in noted:
        systems = [(place, text.removeprefix("SYSTEM:").strip()) for place, text in systems]
    turns = [Turn("system", text) for _, text in systems]
    places = [place for place, _ in systems]
    learnt: dict[int, bool] = {}  # place of each answer
    messages = [one for number, message in enumerate(given) for one in _messages_in(message, f"{field}[{number}]")]
    if messages and _role_name(messages[-1][1]) in ("user", "tool"):
        messages += [_as_turn(place, one) for place, one in answers_beside(record, fields)]
    for where, message in messages:
        _append(turns, message, where)
        place = len(turns) - 1
        places += [where] * (len(turns) - len(places))
        if turns[place].role == "assistant":  # a call that joined its turn is learnt with it or not at all
            learnt[place] = learnt.get(place, True) and _is_learnt(message, where)
    refuse_other_instruction(turns, record, fields)
    turns = with_reasoning(with_passages(turns, record, fields), record, fields)
    checked, repairs = checked_turns(turns, (places or [f"{field}[0]"]).__getitem__, rules)
    tools = stated_tools(record, fields, messages)
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


def _messages_in(message: object, where: str) -> Iterator[tuple[str, object]]:
    """The message with its place; of an exchange both of its sides, and a system prompt before them."""
    if isinstance(message, dict) and not SPEAKERS.isdisjoint(message):
        yield where, message
        return
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
        case {"type": "human" | "ai" | "system" | "tool" as speaker, **rest}:
            inner = rest.get("data", rest)  # LangChain's
            yield where, {**inner, "role": speaker} if isinstance(inner, dict) else message
        case {**named}:
            small = {plain(str(name)): value for name, value in named.items()}
            yield where, {"role": small["author"], **small} if "author" in small else small
        case _:
            yield where, message


def _as_turn(where: str, message: object) -> tuple[str, object]:
    if not is_turn(message):
        raise Unusable("not_text", where, message)
    return where, message


def is_turn(message: object) -> bool:
    """Whether an object is a message, or an exchange of two."""
    return isinstance(message, dict) and (not SPEAKERS.isdisjoint(message) or _sides_of(message) is not None)


def _sides_of(message: Mapping[Any, Any]) -> tuple[str, str] | None:
    """The names of question and answer in one exchange, as XTuner and others write chats."""
    if not SPEAKERS.isdisjoint(message):
        return None
    return next((names for names in EXCHANGES if message.keys() >= set(names)), None)


def _starts_with(given: Sequence[object], system: str) -> bool:
    """Whether the first turn holds what a field for the system prompt says; another one does not replace it."""
    first = given[0] if given else None
    return _role_name(first) == "system" and isinstance(first, dict) and system in str(text_field(first)[1])


def _is_learnt(message: Any, where: str) -> bool:
    """OpenAI's fine-tuning files keep an answer of weight 0 out of the loss, Axolotl's one with train: false, ms-swift's one with
    loss: false. Raises Unusable for another weight than 0 and 1: a message has none of its own."""
    if LEARNT_BY.isdisjoint(message):
        return True
    weight = message.get("weight")
    if weight is not None and weight not in (0, 1):
        raise Unusable("bad_weight", f"{where}.weight", weight)
    if in_parts := next((name for name in TRAINED_IN_PARTS if message.get(name)), None):
        raise Unusable("bad_weight", f"{where}.{in_parts}", message[in_parts])
    return weight != 0 and all(message.get(name) is not False for name in TRAINED)


def _supervised(learnt: Sequence[bool], field: str) -> tuple[bool, ...] | None:
    if not any(learnt):
        raise Unusable("excluded_turn", field, 0)
    return None if all(learnt) else tuple(learnt)


def _role_name(message: object) -> str | None:
    if not isinstance(message, dict):
        return None
    stated = (
        message["role"] if "role" in message else next((message[name] for name in SPEAKERS if name in message), None)
    )
    return ROLES.get(stated.lower(), ROLES.get(plain(stated))) if isinstance(stated, str) else None


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
    field, said = text_field(message)
    if beside := attached(message):
        raise Unusable("image_content", f"{where}.{beside}", message[beside])
    if role == "call":
        _append_calls(turns, tool_calls_of(said, f"{where}.{field}"))
        return
    parts = said if isinstance(said, list) and role != "assistant" else []
    results = list(takewhile(is_tool_result, parts))
    for number, part in enumerate(results):
        turns.append(Turn("tool", result_of(part, f"{where}.{field}[{number}]")))
    if results and len(results) == len(parts):
        return
    content, reasoning, calls = content_of(said, f"{where}.{field}", len(results))
    calls += stated_calls(message, where)
    reasoning = reasoning or stated_reasoning(message, where)
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
