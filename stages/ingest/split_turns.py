"""Chats whose turns stand in more than one field: a prompt of turns beside what answers it, or turns before a pair."""

import re
from collections.abc import Mapping

from stages.ingest.conversation import Conversation, Record, Rules
from stages.ingest.flat import asked, history_of, only, reasoning_beside
from stages.ingest.stage import Repair
from stages.ingest.tool_calls import parsed
from stages.ingest.turns import convert_turns, is_turn
from stages.ingest.unusable import Unusable

STARTS_LIKE_TURNS = re.compile(
    r"""\s*+(?:(?:\{\s*+["']messages["']\s*+:\s*+)?\[\s*+)?\{\s*+["'](?:role|from|content|value)["']"""
)


def is_split(record: Record, fields: Mapping[str, str]) -> bool:
    """Whether the prompt of a record is a list of turns, and what answers them is one too, or one turn, or its text."""
    before, answered = _turns_of(record[fields["prompt"]]), record[fields["response"]]
    if isinstance(before, str):
        return is_turn(answered) or (isinstance(answered, list) and bool(answered) and all(map(is_turn, answered)))
    if not isinstance(before, list) or not all(isinstance(one, dict) for one in before):
        return False
    if isinstance(answered, list):
        return all(isinstance(one, dict) for one in answered)
    return bool(before) and all(map(is_turn, before)) and (isinstance(answered, str) or is_turn(answered))


def _turns_of(value: object) -> object:
    """The list of turns, which may stand in a request, or be written out as text; other text, which may start like it."""
    if isinstance(value, str) and STARTS_LIKE_TURNS.match(value):
        try:
            return _turns_of(parsed(value, "no_turns", "prompt", []))
        except Unusable:
            return value
    return value["messages"] if isinstance(value, dict) and "messages" in value else value


def convert_split_turns(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """TRL's form, and that of logs: the turns of the prompt in one field, and in another what answers them and is learnt."""
    before, answered = _turns_of(record[fields["prompt"]]), record[fields["response"]]
    if isinstance(before, str):
        before = [{"role": "user", "content": before}]
    if not isinstance(before, list):
        raise Unusable("no_turns", fields["prompt"], before)
    answer = _turns_of(answered)
    if isinstance(answer, str):
        reasoning = reasoning_beside(record, fields)
        answer = {"role": "assistant", "content": answer, "reasoning_content": reasoning}
    unlearnt = [{**message, "train": False} if isinstance(message, dict) else message for message in before]
    field = f"{fields['prompt']} + {fields['response']}"
    turns = [*unlearnt, *(answer if isinstance(answer, list) else [answer])]
    return convert_turns({**record, field: turns}, _without_answer(fields, field), rules)


def _without_answer(fields: Mapping[str, str], turns: str) -> dict[str, str]:
    """Fields of which the answer stands in the turns already."""
    return {**{meaning: name for meaning, name in fields.items() if meaning != "response"}, "turns": turns}


def comes_after_turns(record: Record, fields: Mapping[str, str]) -> bool:
    """Whether what was said before a pair is a list of messages."""
    history = history_of(record, fields)
    return bool(history) and all(map(is_turn, history))


def convert_after_turns(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """The messages of the history, then the pair, whose prompt has its contexts with it."""
    repairs: list[Repair] = []
    question = {"role": "user", "content": asked(record, fields, rules, repairs)}
    answer = {"role": "assistant", "content": only(record[fields["response"]], fields["response"], "several_answers")}
    field = f"{fields['history']} + {fields['prompt']}"
    turns = [*history_of(record, fields), question, answer]
    made = convert_turns({**record, field: turns}, _without_answer(fields, field), rules)
    return [one._replace(repairs=(*repairs, *one.repairs)) if isinstance(one, Conversation) else one for one in made]
