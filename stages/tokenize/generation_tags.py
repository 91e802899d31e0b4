"""What a template itself tags as the model's own, `{% generation %}`, beside what was proven: a witness, never the proof.

Several public templates tag the header before the answer too, and many the line break behind it, which no model is to say.
"""

from collections.abc import Iterator
from typing import Any

from stages.modelling.chat_template import ChatTokenizer, RenderError
from stages.modelling.template_messages import REASONING, Message, Tools
from stages.tokenize.conversation import Conversation
from stages.tokenize.end_token import CALL, CALL_TOOL
from stages.tokenize.prepared import Preparation
from stages.tokenize.reading import Turn
from stages.tokenize.refusal import Refusal
from stages.tokenize.turns import read_turns

THOUGHT = dict.fromkeys(REASONING, "temperthought")


def _user(number: int) -> Message:
    return {"role": "user", "content": f"temper question {number}"}


def _answer(number: int, **fields: Any) -> Message:
    return {"role": "assistant", "content": f"temper answer {number}"} | fields


SYSTEM = {"role": "system", "content": "temper system"}
RESULT = {"role": "tool", "content": "temper result"}
PROBES: list[tuple[list[Message], Tools | None]] = [
    ([_user(1), _answer(1), _user(2), _answer(2)], None),
    ([SYSTEM, _user(1), _answer(1)], None),
    ([_user(1), _answer(1, **THOUGHT)], None),
    ([_user(1), _answer(1, content="", tool_calls=[CALL]), RESULT, _answer(2)], CALL_TOOL),
]


def compare_tags(prepared: Preparation) -> dict[str, Any] | None:
    """Over conversations of our own: how many proven answers are what the tags say, and how the others differ.

    `differences` maps where the tagged text begins and ends to the number of such answers and the first of them. None
    for a template without tags. Answers that cannot be proven are not counted.
    """
    if not prepared.chat.template.has_generation_tags:
        return None
    agree, differences = 0, dict[str, dict[str, Any]]()
    for rendered, turn, tagged in _answers(prepared):
        start = rendered.rfind(turn.answer)
        if start < 0:
            continue  # a thought that only the prompt shows: there is nothing to compare with
        proven = start, start + len(turn.answer)
        if tagged == proven:
            agree += 1
            continue
        shown = {"answers": 0, "tagged": rendered[slice(*tagged)] if tagged else "", "proven": turn.answer}
        differences.setdefault(_name(proven, tagged), shown)["answers"] += 1
    counted = agree + sum(found["answers"] for found in differences.values())
    return {"answers": counted, "agree": agree, "differences": dict(sorted(differences.items()))}


def _answers(prepared: Preparation) -> Iterator[tuple[str, Turn, tuple[int, int] | None]]:
    """Each proven answer: the text up to it, the turn, and from where to where the template tags it."""
    for messages, tools in PROBES:
        conversation = Conversation(messages, tools, prepared.tags)
        for position in conversation.answers:
            try:
                (turn,) = read_turns(prepared.chat, prepared.outlines, conversation, [position])
                yield _tagged(prepared.chat, conversation, position, turn)
            except (Refusal, RenderError):
                continue


def _tagged(
    chat: ChatTokenizer, conversation: Conversation, position: int, turn: Turn
) -> tuple[str, Turn, tuple[int, int] | None]:
    messages, tools = conversation.messages, conversation.tools
    _, before = chat.template.render_tagged(messages[:position], tools, settings=turn.settings)
    rendered, spans = chat.template.render_tagged(messages[: position + 1], tools, settings=turn.settings)
    own = [span for span in spans[len(before) :] if span[0] < span[1]]
    return rendered, turn, (own[0][0], own[-1][1]) if own else None


def _name(proven: tuple[int, int], tagged: tuple[int, int] | None) -> str:
    if tagged is None:
        return "is not tagged"
    begins = {-1: "begins earlier", 1: "begins later"}.get((tagged[0] > proven[0]) - (tagged[0] < proven[0]))
    ends = {-1: "ends earlier", 1: "ends later"}.get((tagged[1] > proven[1]) - (tagged[1] < proven[1]))
    return " and ".join(filter(None, (begins, ends)))
