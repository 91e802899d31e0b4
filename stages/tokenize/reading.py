"""Derives what the model must say in one turn twice: from two renderings, and from marks; both must agree."""

import re
from itertools import pairwise
from typing import NamedTuple

from stages.modelling.chat_template import ChatTokenizer, RenderError, Settings
from stages.tokenize.conversation import Conversation, refuse_dropped_calls, refuse_dropped_tools
from stages.tokenize.end_token import cut_at_end_token, trailer
from stages.tokenize.marks import AREAS, Marked, Seen, see
from stages.tokenize.opened_thought import Said, opener_of, said_with_thought, without_closed_thought
from stages.tokenize.refusal import Refusal
from stages.tokenize.replaced import Asked, refuse_hidden

# What templates call the one who answers, in the header of its turn: `<|im_start|>assistant`, `<|CHATBOT_TOKEN|>`.
ROLE = re.compile(r"(?<![a-z])(assistant|model|chatbot|bot|gpt|ai)(?![a-z])", re.IGNORECASE)
NEAR = 60  # characters in which a header stands


class Turn(NamedTuple):
    """One answer. `prompt + answer + trailer` is what the template renders up to and including the answer's turn,
    unless it rewrites what stands before the answer as soon as there is one, or leaves the answer open."""

    prompt: str  # what a server would send
    answer: str  # what the model must say then, up to and including the end token
    end: str  # the end token
    trailer: str  # what the template writes after it, often a line break
    settings: Settings  # what the server has to be told with the request
    rewritten: bool  # the prompt does not begin the text with the answer


class Reading(NamedTuple):
    """One turn in the template's words, once plain and once from the marks."""

    position: int
    marked: Marked
    prompt: str
    rendered: str  # with the answer
    seen: Seen  # where the marks stand in `rendered`
    alone: bool = False  # the answer is all that is marked

    @property
    def has_call(self) -> bool:
        return "tool_calls" in self.marked.messages[self.position]


def read_turn(chat: ChatTokenizer, conversation: Conversation, position: int, settings: Settings) -> Turn:
    """The answer at `position`, asked for with `settings`. Raises Refusal where it cannot be proven."""
    reading = _read(chat, conversation, position, settings)
    refuse_dropped_calls(conversation.messages[position], reading.rendered, position)
    if said_whole := _said_with_thought(conversation, reading):
        return _read_thought(chat, conversation, reading, said_whole, settings)
    if rewritten := not reading.rendered.startswith(reading.prompt):
        said, before = _said_behind(chat, conversation, reading, _see_prompt(chat, conversation, reading, settings))
    else:
        said, before = reading.rendered[len(reading.prompt) :], reading.seen
    _refuse_dropped_context(conversation, reading, before)
    if reading.alone:
        refuse_hidden(Asked(chat, conversation, position, settings), reading.prompt, said)
    first, last = _answer_span(reading)
    start = len(reading.rendered) - len(said)
    if not rewritten and not _last_context(reading, reading.seen)[1] <= start <= first:
        raise Refusal("derivations_disagree", f"turn {position}: what would be learned is not what the answer became")
    open_end = chat.open_call_end if reading.has_call else chat.open_end
    if open_end and not chat.control_pattern.search(said, last - start):
        said += open_end
    answer, end = cut_at_end_token(said, last - start, chat, reading.prompt, position)
    _refuse_header(reading.rendered[start:first], reading.prompt, chat, position)
    refuse_dropped_calls(conversation.messages[position], answer, position)
    return Turn(reading.prompt, answer, end, trailer(said[len(answer) :], chat), settings, rewritten)


def _refuse_header(lead: str, prompt: str, chat: ChatTokenizer, position: int) -> None:
    """Raises Refusal when what the template writes before the answer's text begins with the header of the turn."""
    asked, named = chat.template.header.strip(), chat.template.generation_prompt
    is_named = bool(ROLE.search(named)) and prompt.endswith(named)  # a name in the lead is then no header's
    if (not is_named and ROLE.search(lead[:NEAR])) or (asked and lead.strip().startswith(asked)):
        raise Refusal(
            "header_in_answer",
            f"turn {position}: the prompt that a server sends does not end in {lead.strip()[:NEAR]!r}, so that a model "
            "would have to write it",
        )


def _said_with_thought(conversation: Conversation, reading: Reading) -> Said | None:
    """What to say behind a prompt that opens a thought, where the template shows of the answer only what follows it."""
    message = conversation.messages[reading.position]
    places = reading.marked.by_message.get(reading.position, [])
    seen = [place for place in places if reading.seen.opened.get(place)]
    whole = len(places) == len(seen) and reading.rendered.startswith(reading.prompt)
    if whole or reading.alone or message.keys() != {"role", "content"} or seen != places[-1:]:
        return None
    shown = reading.seen.spans(seen[0]) if seen else []
    if len(shown) != 1:
        return None
    return said_with_thought(message["content"], reading.prompt, reading.rendered, shown[0], conversation.tags)


def _read_thought(
    chat: ChatTokenizer, conversation: Conversation, reading: Reading, said: Said, settings: Settings
) -> Turn:
    _refuse_dropped_context(conversation, reading, _see_prompt(chat, conversation, reading, settings))
    answer, end = cut_at_end_token(said.text, said.behind, chat, reading.prompt, reading.position)
    return Turn(reading.prompt, answer, end, trailer(said.text[len(answer) :], chat), settings, rewritten=True)


def _read(chat: ChatTokenizer, conversation: Conversation, position: int, settings: Settings) -> Reading:
    messages, tools, template = conversation.messages, conversation.tools, chat.template
    if template.draws_at_random:
        raise Refusal(
            "template_error", "the template draws at random what it writes", "take `random` and `lipsum` out of it"
        )
    try:
        prompt = template.render(messages[:position], tools, add_generation_prompt=True, settings=settings)
        rendered = template.render(messages[: position + 1], tools, add_generation_prompt=False, settings=settings)
    except RenderError as error:
        raise Refusal("template_error", f"turn {position}: {error}") from error
    for marked, alone in conversation.marked_for(position):
        if (seen := _see(chat, marked, position + 1, settings, answered=True)) and seen.text == rendered:
            return Reading(position, marked, prompt, rendered, seen, alone)
    raise Refusal("derivations_disagree", f"turn {position} is rendered otherwise with marks in its texts")


def _see(chat: ChatTokenizer, marked: Marked, number: int, settings: Settings, *, answered: bool) -> Seen | None:
    """Where the marks of the first `number` messages stand; None where the template cannot render them."""
    try:
        rendered = chat.template.render(
            marked.messages[:number], marked.tools, add_generation_prompt=not answered, settings=settings
        )
        return see(rendered, marked.first)
    except RenderError:
        return None


def _see_prompt(chat: ChatTokenizer, conversation: Conversation, reading: Reading, settings: Settings) -> Seen:
    seen = _see(chat, reading.marked, reading.position, settings, answered=False)
    if seen is None or seen.text != reading.prompt:
        raise _differing(reading, conversation)
    return seen


def _said_behind(chat: ChatTokenizer, conversation: Conversation, reading: Reading, prompt: Seen) -> tuple[str, Seen]:
    """What follows the prompt, where the template writes the turns before it in another way once the answer is there.

    Both texts must go on in the same words, or the same header, behind the same last text of the turns before, so that the
    only difference lies further back; or the prompt ends in all that stands between that text and the answer; or it ends in a
    thought that is opened and closed, and history leaves it out.
    """
    content = conversation.messages[reading.position]["content"]
    before = without_closed_thought(reading.prompt, conversation.tags, content)
    if before is not None and reading.rendered.startswith(before):
        first, _ = _answer_span(reading)
        if len(before) <= first and not reading.rendered[len(before) : first].strip():
            return reading.rendered[len(before) :], prompt
    (asked, asked_end), (shown, shown_end) = _last_context(reading, prompt), _last_context(reading, reading.seen)
    if asked is None or shown is None:
        raise _differing(reading, conversation)
    opener = _opener_length(reading.prompt[asked_end:], reading.rendered[shown_end:], chat) if asked == shown else 0
    try:
        first, _ = _answer_span(reading)
    except Refusal as changed:
        told = opener or changed.reason != "content_changed"
        raise changed if told else _differing(reading, conversation) from changed
    if not opener or shown_end + opener > first:
        opener = _header_length(reading.rendered[shown_end:first], content, reading.prompt, chat)
    if not opener:
        raise _differing(reading, conversation)
    return reading.rendered[shown_end + opener :], prompt


def _header_length(lead: str, content: str, prompt: str, chat: ChatTokenizer) -> int:
    """How much of `lead`, all that stands between the last text and the answer's, comes before the answer, where the prompt
    ends in it too, whatever else that says before: a reminder, say, that only a request has. 0 where it does not."""
    space = content[: len(content) - len(content.lstrip())]
    for header in (lead, lead.removesuffix(space)):
        named = ROLE.search(header) or chat.control_pattern.search(header)
        if named and prompt.endswith(header.lstrip()):
            return len(header)
    return 0


def _opener_length(opener: str, rest: str, chat: ChatTokenizer) -> int:
    """How much of `rest`, which follows the last text before the answer, comes before the answer, `opener` being what the
    prompt has there: the same words, or, where the turn before is closed in other words, all up to the same header of the
    answer's turn. Hermes closes the result of a tool so. 0 where neither is there."""
    if opener.strip() and rest.startswith(opener):
        return len(opener)
    header = chat.template.generation_prompt
    if chat.control_pattern.search(header) and opener.endswith(header) and header in rest:
        return rest.index(header) + len(header)
    return 0


def _last_context(reading: Reading, seen: Seen) -> tuple[int | None, int]:
    """The text of the turns before the answer that ends last in a rendered text, and where it ends."""
    ends = [
        (seen.closed[place][-1], place)
        for message in range(reading.position)
        for place in reading.marked.by_message.get(message, [])
        if place in seen.closed
    ]
    end, place = max(ends, default=(0, None))
    return place, end


def _refuse_dropped_context(conversation: Conversation, reading: Reading, seen: Seen) -> None:
    """Raises Refusal when a tool, or a text of the turns before the answer but for earlier answers, is not in what is fed."""
    _refuse_dropped_tools(conversation, reading, seen)
    for position, message in enumerate(conversation.messages[: reading.position]):
        role = message["role"]
        for place in reading.marked.by_message.get(position, []):
            kind = reading.marked.texts[place].kind
            if not seen.opened.get(place) and (kind == "call" or role != "assistant"):
                dropped = {"system": "dropped_system"}.get(role, "dropped_turn")
                raise Refusal(
                    "dropped_tool_call" if kind == "call" else dropped,
                    f"the {role} turn at {position} does not show up in the rendered text",
                )
        refuse_dropped_calls(message, reading.prompt, position)


def _refuse_dropped_tools(conversation: Conversation, reading: Reading, seen: Seen) -> None:
    """A name that only an earlier call or a result shows offers nothing; one in the row's own system turn does."""
    places = reading.marked.by_message.get(-1, [])
    shown = [place for place in places if min(seen.opened.get(place, [len(seen.text)])) < len(reading.prompt)]
    if len(shown) == len(places) > 0:
        return
    system = [
        message["content"] for message in conversation.messages[: reading.position] if message["role"] == "system"
    ]
    refuse_dropped_tools(conversation.tools, "\n".join(system) if places else reading.prompt)


def _answer_span(reading: Reading) -> tuple[int, int]:
    """Where the answer's own texts begin and end. Raises Refusal when one is missing, changed or there twice."""
    spans = []
    for place in reading.marked.by_message.get(reading.position, []):
        text, found = reading.marked.texts[place], reading.seen.spans(place)
        if text.kind == "call" and not found:
            raise Refusal("dropped_tool_call", f"turn {reading.position} calls {text.text}, which is not rendered")
        if text.kind == "reasoning" and not found:
            raise Refusal("dropped_reasoning", f"the template leaves out the reasoning of turn {reading.position}")
        if text.kind == "content" and not found:
            beside = ", as it writes no text beside a call" if reading.has_call else ""
            raise Refusal(
                "content_changed", f"the template leaves out {text.text[:40]!r} of turn {reading.position}{beside}"
            )
        if text.kind != "call" and (len(found) != 1 or reading.rendered[found[0][0] : found[0][1]] != text.text):
            raise Refusal("content_changed", f"the template changed the text of turn {reading.position}")
        spans += found
    if not spans:
        raise Refusal("derivations_disagree", f"turn {reading.position} has no text that could be marked")
    _refuse_changed_tags(reading)
    return min(start for start, _ in spans), max(end for _, end in spans)


def _refuse_changed_tags(reading: Reading) -> None:
    """Raises Refusal where the tags within the answer's text, which have no marks, or its parts are not in their order."""
    places = [
        place
        for place in reading.marked.by_message.get(reading.position, [])
        if reading.marked.texts[place].kind == "content"
    ]
    if not places:
        return
    marked = reading.marked.messages[reading.position]["content"]
    first, *between, last = ["".join(gap.split()) for gap in AREAS[reading.marked.first].split(marked)[::2]]
    if not (first or between or last):
        return
    spans = [reading.seen.spans(place)[0] for place in places]
    shown = ["".join(reading.rendered[end:start].split()) for (_, end), (start, _) in pairwise(spans)]
    before, behind = (
        "".join(text.split()) for text in (reading.rendered[: spans[0][0]], reading.rendered[spans[-1][1] :])
    )
    in_order = all(end <= start for (_, end), (start, _) in pairwise(spans))
    if not in_order or shown != between or not before.endswith(first) or not behind.startswith(last):
        raise Refusal("content_changed", f"the template changed the tags in the text of turn {reading.position}")


def _differing(reading: Reading, conversation: Conversation) -> Refusal:
    prompt, rendered = reading.prompt, reading.rendered
    same = next((i for i, (a, b) in enumerate(zip(prompt, rendered, strict=False)) if a != b), len(rendered))
    opener = opener_of(prompt, conversation.tags)
    return Refusal(
        "prompt_not_a_prefix",
        f"turn {reading.position}, from character {same}: a server sends {prompt[same:][:40]!r}, "
        f"here is {rendered[same:][:40]!r}",
        f"the prompt opens {opener!r}, so the answer's text has to give the thought, as {opener.strip()}… and its closing tag"
        if opener
        else None,
    )
