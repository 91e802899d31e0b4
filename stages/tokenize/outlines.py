"""Turns of conversations with the same roles, read once where the template only inserts texts."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from stages.modelling.chat_template import ChatTokenizer
from stages.modelling.template_messages import Message
from stages.tokenize.conversation import Conversation
from stages.tokenize.marks import AREAS, Marked
from stages.tokenize.plain_template import is_plain
from stages.tokenize.reading import Turn, read_turn
from stages.tokenize.refusal import Refusal

PLAIN_KEYS = {"role", "content"}
PAD = "\x0b"  # white space that no template writes


class Outline(NamedTuple):
    """What the template writes around the texts of the turns up to an answer, and whether it strips them."""

    literals: list[str]  # of the prompt, one more than turns before the answer
    strips: list[bool]  # of each turn, the answer's last
    lead: str
    tail: str  # behind the answer's text, up to and including the end token
    end: str
    trailer: str

    def turn(self, texts: Sequence[str]) -> Turn:
        """The turn for other texts, the answer's last; none of them is blank."""
        *before, answer = [text.strip() if strip else text for text, strip in zip(texts, self.strips, strict=True)]
        prompt = "".join(chain.from_iterable(zip(self.literals, before, strict=False))) + self.literals[-1]
        return Turn(prompt, f"{self.lead}{answer}{self.tail}", self.end, self.trailer, {}, rewritten=False)


class Outlines:
    """The outlines of one tokenizer and template, by the roles of the turns.

    `are_plain`: whether there can be some; if not, each row is to be read.
    """

    def __init__(self, chat: ChatTokenizer) -> None:
        self._chat = chat
        self.are_plain = is_plain(chat.template.tree) and not chat.template.takes_parts
        self._known: dict[tuple[str, ...], Outline | None] = {}

    def turn(self, conversation: Conversation, position: int) -> Turn | None:
        """The turn of the answer at `position`; None where the template has to render this very conversation."""
        messages = conversation.messages[: position + 1]
        if not self.are_plain or conversation.tools or not all(map(_is_simple, messages)):
            return None
        roles = tuple(message["role"] for message in messages)
        if roles not in self._known:
            self._known[roles] = self._learn(roles)
        outline = self._known[roles]
        return outline and outline.turn([message["content"] for message in messages])

    def _learn(self, roles: tuple[str, ...]) -> Outline | None:
        """The outline from texts of our own, tried on others with white space at their ends."""
        bare, padded = (
            Conversation([{"role": role, "content": f"{pad}temper{n}text{pad}"} for n, role in enumerate(roles)], None)
            for pad in ("", PAD)
        )
        try:
            turn, of_padded = (read_turn(self._chat, probe, len(roles) - 1, {}) for probe in (bare, padded))
        except Refusal:
            return None  # each row then gets its own reason
        literals, strips = self._literals(bare), self._strips(padded)
        if turn.rewritten or literals is None or strips is None:
            return None
        lead, found, tail = turn.answer.partition(bare.messages[-1]["content"])
        outline = Outline(literals, strips, lead, tail, turn.end, turn.trailer)
        tried = all(
            outline.turn([message["content"] for message in probe.messages]) == expected
            for probe, expected in ((bare, turn), (padded, of_padded))
        )
        return outline if found and tried else None

    def _literals(self, probe: Conversation) -> list[str] | None:
        """What stands around the texts of the prompt, if each is there once and in order."""
        marked = next(probe.marked)
        prompt = self._chat.template.render(marked.messages[:-1], add_generation_prompt=True)
        return _around(prompt, marked)

    def _strips(self, probe: Conversation) -> list[bool] | None:
        """Of each turn whether the white space at the ends of its text is gone; None where only at one end."""
        marked = next(probe.marked)
        rendered = self._chat.template.render(marked.messages, add_generation_prompt=False)
        pieces = AREAS[marked.first].split(rendered)
        ends = [(pieces[2 * n].endswith(PAD), pieces[2 * n + 2].startswith(PAD)) for n in range(len(pieces) // 2)]
        return None if any(left != right for left, right in ends) else [not left for left, _ in ends]


def _around(rendered: str, marked: Marked) -> list[str] | None:
    area = AREAS[marked.first]
    places = [ord(mark) - marked.first for mark in area.findall(rendered)]
    if places != list(range(2 * len(marked.texts) - 2)):
        return None
    return area.split(rendered)[::2]


def _is_simple(message: Message) -> bool:
    return message.keys() == PLAIN_KEYS and not message["content"].isspace() and message["content"] != ""
