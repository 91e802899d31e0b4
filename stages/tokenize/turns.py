"""The answers of a conversation that count, each with what a server would send before it."""

from collections.abc import Sequence
from itertools import pairwise

from stages.modelling.chat_template import ChatTokenizer
from stages.tokenize.conversation import Conversation
from stages.tokenize.outlines import Outlines
from stages.tokenize.reading import Turn, read_turn
from stages.tokenize.refusal import Refusal


def read_turns(
    chat: ChatTokenizer, outlines: Outlines, conversation: Conversation, positions: Sequence[int]
) -> list[Turn]:
    """The answers at `positions` of the conversation. Raises Refusal, for the first of them that cannot be proven."""
    for position in positions:
        _refuse_empty(conversation, position)
    return [outlines.turn(conversation, position) or _read_turn(chat, conversation, position) for position in positions]


def _refuse_empty(conversation: Conversation, position: int) -> None:
    message = conversation.messages[position]
    if not message["content"].strip() and "tool_calls" not in message:
        raise Refusal("empty_answer", f"the answer at {position} has neither text nor a tool call")
    if position == 0:
        raise Refusal("no_prompt", "the conversation begins with an answer")


def _read_turn(chat: ChatTokenizer, conversation: Conversation, position: int) -> Turn:
    """The turn as served when nothing is asked for, else with thinking switched off or on.

    A text that the prompt begins goes before one that is rewritten. Raises the refusal that says most.
    """
    refusals: list[Refusal] = []
    rewritten: list[Turn] = []
    for settings in chat.template.variants:
        try:
            turn = read_turn(chat, conversation, position, settings)
        except Refusal as refusal:
            refusals.append(refusal)
            continue
        if not turn.rewritten:
            return turn
        rewritten.append(turn)
    if rewritten:
        return rewritten[0]
    raise next((refusal for refusal in refusals if refusal.reason != "prompt_not_a_prefix"), refusals[0])


def is_one_sequence(turns: Sequence[Turn]) -> bool:
    """Whether each prompt goes on from the prompt and the answer before it, so that one text serves all turns.

    Two answers with nothing between them would look like one that goes on behind its end token.
    """
    return not any(turn.rewritten for turn in turns) and all(
        later.settings == turn.settings
        and later.prompt.startswith(turn.prompt + turn.answer)
        and len(later.prompt) > len(turn.prompt + turn.answer)
        for turn, later in pairwise(turns)
    )
