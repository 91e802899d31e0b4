"""What a server would send before each answer, and what the model must then say: by rendering, as characters."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from stages.chat_template import ChatTokenizer, RenderError
from stages.tokenize.conversation import (
    Conversation,
    refuse_dropped_calls,
    refuse_dropped_context,
    refuse_dropped_tools,
)
from stages.tokenize.refusal import Refusal


class Turn(NamedTuple):
    """One answer. `prompt + answer + trailer` is what the template renders up to and including the answer's turn."""

    prompt: str  # what a server would send
    answer: str  # what the model must say then, up to and including the end token
    end: str  # the end token
    trailer: str  # what the template writes after it, often a line break


def read_turns(chat: ChatTokenizer, conversation: Conversation, positions: Sequence[int]) -> list[Turn]:
    """The answers at `positions` of the conversation. Raises Refusal, for the first of them that cannot be proven."""
    for position in positions:
        _refuse_empty(conversation, position)
    turns = [_read_turn(chat, conversation, position) for position in positions]
    refuse_dropped_tools(conversation.tools, turns[-1].prompt)
    return turns


def _refuse_empty(conversation: Conversation, position: int) -> None:
    message = conversation.messages[position]
    if not message["content"].strip() and "tool_calls" not in message:
        raise Refusal("empty_answer", f"the answer at {position} has neither text nor a tool call")
    if position == 0:
        raise Refusal("no_prompt", "the conversation begins with an answer")


def _read_turn(chat: ChatTokenizer, conversation: Conversation, position: int) -> Turn:
    prompt, rendered = _render(chat, conversation, position)
    refuse_dropped_context(conversation.messages[:position], rendered)
    refuse_dropped_calls(conversation.messages[position], rendered, position)
    if not rendered.startswith(prompt):
        raise Refusal("prompt_not_a_prefix", _difference(prompt, rendered, position))
    learned = rendered[len(prompt) :]
    answer, end = _cut_at_end_token(learned, chat, position)
    _refuse_changed(conversation, position, answer)
    return Turn(prompt, answer, end, learned[len(answer) :])


def _render(chat: ChatTokenizer, conversation: Conversation, position: int) -> tuple[str, str]:
    messages, tools = conversation.messages, conversation.tools
    try:
        prompt = chat.template.render(messages[:position], tools, add_generation_prompt=True)
        return prompt, chat.template.render(messages[: position + 1], tools, add_generation_prompt=False)
    except RenderError as error:
        raise Refusal("template_error", f"turn {position}: {error}") from error


def _cut_at_end_token(learned: str, chat: ChatTokenizer, position: int) -> tuple[str, str]:
    """The answer up to its end token, and that token.

    Control tokens with nothing but white space after them close the turn. Of several, the template's own end token is
    the one: phi writes `<|end|>` and at the very end eos, others close a call before they close the turn.
    """
    closing: list[re.Match[str]] = []
    rest = len(learned)
    for found in reversed(list(chat.control_pattern.finditer(learned))):
        if learned[found.end() : rest].strip():
            break
        closing.insert(0, found)
        rest = found.start()
    ends = [found for found in closing if found[0] == chat.end_token] or closing
    if not ends or (len(closing) > 1 and ends is closing):
        raise Refusal("no_end_token", f"turn {position} ends in {learned[-20:]!r}")
    return learned[: ends[0].end()], ends[0][0]


def _refuse_changed(conversation: Conversation, position: int, answer: str) -> None:
    message = conversation.messages[position]
    refuse_dropped_calls(message, answer, position)
    if message["content"].strip() not in answer:
        raise Refusal("content_changed", f"the template changed the text of turn {position}")
    if message.get("reasoning_content", "").strip() not in answer:
        raise Refusal("dropped_reasoning", f"the template leaves out the reasoning of turn {position}")


def _difference(prompt: str, rendered: str, position: int) -> str:
    same = next((i for i, (a, b) in enumerate(zip(prompt, rendered, strict=False)) if a != b), len(rendered))
    return f"turn {position}, from character {same}: a server sends {prompt[same:][:40]!r}, here is {rendered[same:][:40]!r}"


def is_one_sequence(turns: Sequence[Turn]) -> bool:
    """Whether each prompt goes on from the prompt and the answer before it, so that one text serves all turns."""
    return all(later.prompt.startswith(turn.prompt + turn.answer) for turn, later in pairwise(turns))
