"""Marks every text of a conversation with characters that nobody writes, so that a rendered text tells where it is from.

The second derivation of a mask: it asks the template where each text went, and believes nothing that it only looks like.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from stages.modelling.template_messages import REASONING, Message, Tools
from stages.tokenize.refusal import Refusal

# Unicode's two large areas for private use, 65,534 characters each, the less used one first; no standard gives any of
# them a meaning, and a text that uses one of the areas is marked from the other.
AREAS = {first: re.compile(f"[{chr(first)}-{chr(first + 65_533)}]") for first in (0x100000, 0xF0000)}
ESCAPED = re.compile(r"\\u(db[89a-f][0-9a-f])\\u(d[c-f][0-9a-f]{2})")  # a mark in JSON that is all ASCII
SLOTS = 32_767


class Text(NamedTuple):
    """A text of the conversation that got marks: `message` is its position, -1 for the tools."""

    message: int
    kind: str  # content | reasoning | call | tool
    text: str


@dataclass(frozen=True)
class Marked:
    """A conversation with marks; the marks of `texts[n]` are the characters 2n and 2n + 1 from `first` on."""

    messages: list[Message]
    tools: Tools | None
    texts: list[Text]
    first: int

    @cached_property
    def by_message(self) -> dict[int, list[int]]:
        """Position of the message -> places in `texts`."""
        found: dict[int, list[int]] = {}
        for place, text in enumerate(self.texts):
            found.setdefault(text.message, []).append(place)
        return found


class Seen(NamedTuple):
    """Where marks stand in a rendered text, as offsets into the text without marks."""

    text: str  # without marks
    opened: dict[int, list[int]]  # place in `texts` -> where it begins, in order
    closed: dict[int, list[int]]  # ... and where it ends

    def spans(self, place: int) -> list[tuple[int, int]]:
        return list(zip(self.opened.get(place, []), self.closed.get(place, []), strict=False))


class Marker:
    """Marks texts one after the other. `tags` are what a template may look for inside a text, such as `</think>`."""

    def __init__(self, tags: re.Pattern[str], first: int) -> None:
        self.texts: list[Text] = []
        self.first = first
        self._tags = tags

    def mark(self, message: int, kind: str, text: str) -> str:
        """The text with marks right inside the white space at its ends, and around each tag so that tags stay whole."""
        edges = [0, *(edge for found in self._tags.finditer(text) for edge in found.span()), len(text)]
        pieces = [text[start:end] for start, end in pairwise(edges)]
        return "".join(
            piece if place % 2 else self._mark_piece(message, kind, piece) for place, piece in enumerate(pieces)
        )

    def _mark_piece(self, message: int, kind: str, piece: str) -> str:
        core = piece.strip()
        if not core:
            return piece
        at, start = piece.index(core), self.first + 2 * len(self.texts)
        self.texts.append(Text(message, kind, core))
        return f"{piece[:at]}{chr(start)}{core}{chr(start + 1)}{piece[at + len(core) :]}"


def mark_conversation(
    messages: Sequence[Message],
    tools: Tools | None,
    tags: re.Pattern[str],
    *,
    names: Container[str],
    only: int | None = None,
) -> Marked:
    """The conversation with all its texts marked, and the `names` of each call, each tool, or both; or those of the message
    `only`. Raises Refusal."""
    for first, area in AREAS.items():
        marker = Marker(tags, first)
        made = [
            _mark_message(marker, place, message, names="call" in names) if only in (None, place) else message
            for place, message in enumerate(messages)
        ]
        offered = [_mark_tool(marker, tool) for tool in tools] if tools and "tool" in names else tools
        if len(marker.texts) <= SLOTS and not any(area.search(text.text) for text in marker.texts):
            return Marked(made, offered, marker.texts, first)
    raise Refusal("derivations_disagree", "the texts are too many, or hold characters of private use themselves")


def _mark_message(marker: Marker, place: int, message: Message, *, names: bool) -> Message:
    made = message | {"content": marker.mark(place, "content", message["content"])}
    if "reasoning_content" in message:
        reasoning = marker.mark(place, "reasoning", message["reasoning_content"])
        made |= dict.fromkeys(REASONING, reasoning)
    if names and "tool_calls" in message:
        made["tool_calls"] = [
            call | {"function": call["function"] | {"name": marker.mark(place, "call", call["function"]["name"])}}
            for call in message["tool_calls"]
        ]
    return made


def _mark_tool(marker: Marker, tool: Message) -> Message:
    """A tool in OpenAI form or in the bare form {name, parameters}; one of neither form stays as it is."""
    described = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(described, dict) or not isinstance(described.get("name"), str):
        return tool
    named = described | {"name": marker.mark(-1, "tool", described["name"])}
    return tool | {"function": named} if "function" in tool else named


def see(rendered: str, first: int) -> Seen:
    """Takes the marks, which begin at the character `first`, out of a rendered text and says where they stood."""
    if "\\udb" in rendered:
        rendered = ESCAPED.sub(lambda pair: bytes.fromhex("".join(pair.groups())).decode("utf-16-be"), rendered)
    pieces = AREAS[first].split(rendered)
    opened: dict[int, list[int]] = {}
    closed: dict[int, list[int]] = {}
    offset = 0
    for piece, mark in zip(pieces, AREAS[first].findall(rendered), strict=False):
        offset += len(piece)
        place, is_end = divmod(ord(mark) - first, 2)
        (closed if is_end else opened).setdefault(place, []).append(offset)
    return Seen("".join(pieces), opened, closed)
