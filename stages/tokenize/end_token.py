"""The token in which a template ends an answer: found on a question and an answer of our own, then in each answer."""

import re
from collections.abc import Collection
from itertools import pairwise

from stages.modelling.chat_template import PROBE, ChatTemplate, ChatTokenizer, RenderError, match_any
from stages.modelling.template_messages import Message, Tools
from stages.tokenize.refusal import Refusal

# An end marker that may become one token: `</s>`, `<end_of_turn>`, `<|im_end|>`, `[|endofturn|]`, `[e~[`
MARKER = re.compile(r"<[^\s<>]+>|\[[^\s\[\]]+[\]\[]")

PLACE, RESULT = "temperplace", "temperresult"
CALL: Message = {"type": "function", "function": {"name": "temper_call", "arguments": {"place": PLACE}}}
CALL_TOOL: Tools = [{"type": "function", "function": {"name": "temper_call", "parameters": {"type": "object"}}}]


def find_end_token(template: ChatTemplate, control: re.Pattern[str], eos: str) -> str | None:
    """What the template writes when an answer is over, one of the `control` tokens or a text that may be made one; None
    where it writes nothing that could be. `eos` is where a server stops already."""
    try:
        prompt = template.render(PROBE[:1], add_generation_prompt=True)
        rendered = template.render(PROBE, add_generation_prompt=False)
    except RenderError:
        return None
    _, found_answer, after = rendered.rpartition(PROBE[1]["content"])
    after = after.strip()
    if not found_answer:
        return None
    if first := control.search(after):
        return _turn_end(template, control, prompt.rstrip(), after[first.start() :], eos)
    return after if MARKER.fullmatch(after) else None


def _turn_end(template: ChatTemplate, control: re.Pattern[str], prompt: str, after: str, eos: str) -> str | None:
    """Which of the control tokens in `after`, all that follows the last answer from the first of them on, ends its turn."""
    tokens: list[str] = control.findall(after)
    first, second = tokens[0], [*tokens, ""][1]
    rest = after.removeprefix(first)
    opening, behind_question, behind_answer = _around_turns(template)
    behind_answer = behind_answer[closing.start() :] if (closing := control.search(behind_answer)) else ""
    openers = _run(control, opening)
    if prompt.endswith(after) and (first in openers or not behind_answer.startswith(first)):
        return None  # it opens the next answer
    # Command A ends the text of an answer in one token, and then each turn, also that of a question, in another.
    closes = second and first != eos and second not in openers and behind_question.startswith((second, first + second))
    if closes and behind_answer.startswith(first + second):
        return second
    if prompt.endswith(rest) or not control.sub("", rest).strip():
        return first
    return tokens[-1] if after.endswith(tokens[-1]) else None  # Kimi K3 closes parts of a turn before the turn


def find_separator(template: ChatTemplate, control: re.Pattern[str], eos: str) -> str | None:
    """The control token that a template writes between turns, and neither before the first nor behind the last: what it
    writes behind an answer once another turn follows, where that is `eos` or follows a question too."""
    opening, behind_question, behind_answer = _around_turns(template)
    found = control.match(behind_answer.lstrip())
    if not found or found[0] in opening:
        return None
    return found[0] if found[0] == eos or behind_question.startswith(found[0]) else None


def find_open_ends(template: ChatTemplate, stops: Collection[str]) -> tuple[str | None, str | None]:
    """What follows an answer's text, and a call, in a template that ends neither, as GLM's do: the token that opens the next
    turn. It ends a turn where it is one of `stops`, the tokens at which the base model's servers stop."""
    stop = match_any(stops)
    _, _, behind_answer = _around_turns(template)
    opens = stop.match(behind_answer.lstrip())
    called: list[Message] = [
        PROBE[0],
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": RESULT},
    ]
    try:
        _, _, behind_call = template.render(called, CALL_TOOL, add_generation_prompt=False).rpartition(PLACE)
    except RenderError:
        behind_call = ""
    opens_result = stop.search(behind_call.partition(RESULT)[0])
    return opens and opens[0], opens_result and opens_result[0]


def _around_turns(template: ChatTemplate) -> tuple[str, str, str]:
    """What the template writes before a question, behind one that is answered, and behind an answer that is not the last turn."""
    try:
        rendered = template.render([*PROBE, PROBE[0]], add_generation_prompt=False)
    except RenderError:
        return "", "", ""
    question, answer = (message["content"] for message in PROBE)
    opening, _, rest = rendered.partition(question)
    behind_question, _, behind_answer = rest.partition(answer)
    return opening, behind_question.lstrip(), behind_answer.partition(question)[0]


def _run(control: re.Pattern[str], text: str) -> list[str]:
    """The control tokens with which a text begins."""
    found = []
    while token := control.match(text):
        found.append(token[0])
        text = text[token.end() :].lstrip()
    return found


def cut_at_end_token(said: str, behind: int, chat: ChatTokenizer, prompt: str, position: int) -> tuple[str, str]:
    """The answer up to its end token, and that token, which stands nowhere else in it: there a server would stop.

    It is the template's own end token where that follows the answer's last text, at `behind`: phi writes `<|end|>` and
    at the very end eos. Else it is the control token that closes the turn: others end a call in a token of its own, and
    Gemma 4 in two, `<tool_call|><|tool_response>`. Raises Refusal.
    """
    answer, end = "", ""
    usual = chat.end_token or chat.open_end
    if usual is not None and (at := said.find(usual, behind)) >= 0:
        answer, end = said[: at + len(usual)], usual
        rest = said[len(answer) :]
        # More of the turn follows, unless a later turn would take its place: a template may have last words of its own.
        if chat.end_token and not prompt.endswith(rest) and chat.control_pattern.sub("", rest).strip():
            answer = ""
    if not answer and (closing := _closing_token(said, behind, chat, prompt)):
        answer, end = said[: closing.end()], closing[0]
    if not answer:
        raise Refusal("no_end_token", f"turn {position} ends in {said[-20:]!r}")
    if end in answer[: -len(end)]:
        raise Refusal("no_end_token", f"turn {position} has {end} within it, where a server would stop")
    return answer, end


def _closing_token(said: str, behind: int, chat: ChatTokenizer, prompt: str) -> re.Match[str] | None:
    """The last control token of `said`, with nothing behind it, nor before it but others that adjoin it.

    None where a prompt ends in it, this one or that of a plain question: then it opens an answer, and ends none.
    """
    closing: list[re.Match[str]] = []
    rest = len(said)
    for found in reversed(list(chat.control_pattern.finditer(said))):
        if said[found.end() : rest].strip():
            break
        closing.insert(0, found)
        rest = found.start()
    adjoin = all(token.end() == later.start() for token, later in pairwise(closing))
    if not closing or closing[0].start() < behind or not adjoin:
        return None
    last = said[closing[-1].start() :]
    return None if prompt.endswith(last) or chat.template.plain_prompt.endswith(last.rstrip()) else closing[-1]


def trailer(rest: str, chat: ChatTokenizer) -> str:
    """What belongs to the answer's turn behind its end token: white space, and a last token, but no other turn."""
    last = rest.strip()
    return rest if not last or last in chat.control_tokens else rest[: rest.index(last)]
