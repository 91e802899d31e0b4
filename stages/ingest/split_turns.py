"""Chats whose turns stand in more than one field: a prompt of turns beside what answers it, or turns before a pair."""

import re
from collections.abc import Mapping

from stages.ingest.conversation import Conversation, Record, Rules, is_blank
from stages.ingest.flat import reasoning_beside
from stages.ingest.tool_calls import parsed
from stages.ingest.turns import convert_turns, is_turn
from stages.ingest.unusable import Unusable

STARTS_LIKE_TURNS = re.compile(r"""\s*+\[\s*+\{\s*+["'](?:role|from|content|value)["']""")


def is_split(record: Record, fields: Mapping[str, str]) -> bool:
    """Whether the prompt of a record is a list of turns, and what answers them is one too, or one turn, or its text."""
    asked, answered = _turns_of(record[fields["prompt"]]), record[fields["response"]]
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        return False
    if isinstance(answered, list):
        return all(isinstance(one, dict) for one in answered)
    return bool(asked) and all(map(is_turn, asked)) and (isinstance(answered, str) or is_turn(answered))


def _turns_of(asked: object) -> object:
    """The list of turns, which may stand in a request, or be written out as text; other text, which may start like it."""
    if isinstance(asked, str) and STARTS_LIKE_TURNS.match(asked):
        try:
            return parsed(asked, "no_turns", "prompt", [])
        except Unusable:
            return asked
    return asked["messages"] if isinstance(asked, dict) and "messages" in asked else asked


def convert_split_turns(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """TRL's form, and that of logs: the turns of the prompt in one field, and in another what answers them and is learnt."""
    asked, answered = _turns_of(record[fields["prompt"]]), record[fields["response"]]
    if not isinstance(asked, list):
        raise Unusable("no_turns", fields["prompt"], asked)
    answer = _turns_of(answered)
    if isinstance(answer, str):
        reasoning = reasoning_beside(record, fields)
        answer = {"role": "assistant", "content": answer, "reasoning_content": reasoning}
    unlearnt = [{**message, "train": False} if isinstance(message, dict) else message for message in asked]
    field = f"{fields['prompt']} + {fields['response']}"
    turns = [*unlearnt, *(answer if isinstance(answer, list) else [answer])]
    return convert_turns({**record, field: turns}, {**fields, "turns": field}, rules)


def comes_after_turns(record: Record, fields: Mapping[str, str]) -> bool:
    """Whether what was said before a pair is a list of messages, and nothing stands between them and the pair."""
    history = record.get(fields["history"]) if "history" in fields else None
    contexts = [record.get(fields[name]) for name in ("context", "more_context") if name in fields]
    are_turns = isinstance(history, list) and bool(history) and all(map(is_turn, history))
    return are_turns and all(
        context is None or (isinstance(context, str) and is_blank(context)) for context in contexts
    )


def convert_after_turns(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """The messages of the history, then the pair."""
    pair = [
        {"role": "user", "content": record[fields["prompt"]]},
        {"role": "assistant", "content": record[fields["response"]]},
    ]
    field = f"{fields['history']} + {fields['prompt']}"
    return convert_turns({**record, field: [*record[fields["history"]], *pair]}, {**fields, "turns": field}, rules)
