"""What stands beside a list of turns and belongs to it: system prompts, tools, passages, the answer to its last turn, and
what was thought before that."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.ingest.conversation import NAME, Record, Turn, is_blank, text_of, value_of
from stages.ingest.flat import is_placeholder, only, passages_of, reasoning_beside
from stages.ingest.message_content import content_of
from stages.ingest.spellings import contexts_in, systems_in
from stages.ingest.tool_calls import dumped, tools_text
from stages.ingest.unusable import Unusable

Placed = tuple[str, Any]  # where it stands in the record, and what stands there

# Beside SmolTalk2's messages, what a chat template is given with them.
SYSTEM_SETTING, TOOL_SETTINGS = "custom_instructions", ("xml_tools", "python_tools")


def system_texts(record: Record, fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each different system prompt, with its place."""
    found = [(field, _system_text(record, field)) for field in systems_in(fields)]
    found += _settings(record, fields, (SYSTEM_SETTING,))
    places: dict[str, str] = {}
    for place, text in found:
        if isinstance(text, str) and text:
            places.setdefault(text, place)
    return [(place, text) for text, place in places.items()]


def _system_text(record: Record, field: str) -> str:
    """A text, Gemini's object with parts, or Anthropic's and Amazon's list of them."""
    match record.get(field):
        case [*parts]:
            return content_of(parts, field)[0]
        case {"parts": parts}:
            return content_of(parts, f"{field}.parts")[0]
    return text_of(record, field)


def _settings(record: Record, fields: Mapping[str, str], names: Sequence[str]) -> Iterator[Placed]:
    settings = value_of(record, fields, "settings")
    for name in names:
        if isinstance(settings, dict):
            yield f"{fields['settings']}.{name}", settings.get(name)


def stated_tools(record: Record, fields: Mapping[str, str], messages: Sequence[Placed]) -> str | None:
    """The tools on offer, those of the record and those that its messages declare, as a JSON array; None where there are none."""
    stated = [(fields.get("tools", ""), value_of(record, fields, "tools")), *_settings(record, fields, TOOL_SETTINGS)]
    stated += _tools_in_metadata(record, fields)
    stated += [(f"{where}.{name}", m[name]) for where, m in messages for name in ("functions", "tools") if name in m]
    found = [text for place, value in stated if (text := tools_text(value, place))]
    if len(found) < 2:
        return found[0] if found else None
    return dumped(list({dumped(tool): tool for text in found for tool in json.loads(text)}.values()))


def _tools_in_metadata(record: Record, fields: Mapping[str, str]) -> Iterator[Placed]:
    """As Nemotron's data has them, in an object that may be written out as text; other metadata says nothing of a chat."""
    metadata = value_of(record, fields, "metadata")
    if isinstance(metadata, str) and '"tools"' in metadata:
        with contextlib.suppress(ValueError, RecursionError):
            metadata = json.loads(metadata)
    match metadata:
        case {"tools": [dict(), *_] as tools}:
            yield f"{fields['metadata']}.tools", tools


def with_passages(turns: list[Turn], record: Record, fields: Mapping[str, str]) -> list[Turn]:
    """The turns, with the passages that none of them holds below the first question, where a prompt has its context."""
    contexts = contexts_in(fields)
    first = next((number for number, turn in enumerate(turns) if turn.role == "user"), None) if contexts else None
    if first is None or is_blank(turns[first].content):
        return turns
    asked = turns[first].content
    for field in contexts:
        passage = passages_of(record, field).strip()
        is_passage = not (is_blank(passage) or is_placeholder(passage) or NAME.fullmatch(passage))
        if is_passage and not any(passage in turn.content for turn in turns):
            asked = f"{asked}\n\n{passage}"
    return [*turns[:first], turns[first]._replace(content=asked), *turns[first + 1 :]]


def refuse_other_instruction(turns: Sequence[Turn], record: Record, fields: Mapping[str, str]) -> None:
    """Raises Unusable for an instruction beside the turns that none of them holds: whose it is, and where it belongs, is
    not told."""
    told = value_of(record, fields, "told_first")
    if isinstance(told, str) and not any(told.strip() in turn.content for turn in turns):
        raise Unusable("several_prompts", fields["told_first"], told)


def answers_beside(record: Record, fields: Mapping[str, str]) -> list[Placed]:
    """What answers the last turn where no turn does: a text with what was thought before it, or messages. Raises Unusable
    for a number, and for several texts."""
    value = value_of(record, fields, "response")
    if value is None or isinstance(value, bool):
        return []
    field = fields["response"]
    if isinstance(value, dict) or (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
        return [(field, one) for one in (value if isinstance(value, list) else [value])]
    text = text_of({field: only(value, field, "several_answers")}, field)
    answer = {"role": "assistant", "content": text, "reasoning_content": reasoning_beside(record, fields)}
    return [] if is_blank(text) else [(field, answer)]


def with_reasoning(turns: list[Turn], record: Record, fields: Mapping[str, str]) -> list[Turn]:
    """The turns, with what was thought beside them before the last answer, unless that tells it itself."""
    thought = reasoning_beside(record, fields)
    if not thought or not turns or turns[-1].role != "assistant" or turns[-1].reasoning_content:
        return turns
    if thought.strip() in turns[-1].content:
        return turns
    return [*turns[:-1], turns[-1]._replace(reasoning_content=thought)]
