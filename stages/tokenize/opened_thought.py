"""Answers whose thought the prompt has begun: the server writes `<think>` itself, and history no longer shows the thought.

DeepSeek-R1 and QwQ do so. No rendering shows the whole turn, but the row's own text can: where it begins in the very words
that end the prompt, or closes a thought that it did not open, the model goes on from the prompt with it; what follows the
thought is what the template writes of the answer.
"""

import re
from typing import NamedTuple

NEAR = 80  # characters from the end of a prompt in which the tags of a thought stand


class Said(NamedTuple):
    """What the model must say behind the prompt, with all that the template writes after it."""

    text: str
    behind: int  # where the answer's own words end in it


def opener_of(prompt: str, tags: re.Pattern[str]) -> str:
    """The tag, with the white space after it, that ends a prompt and that the template can close; nothing where none is."""
    tail = prompt[-NEAR:]
    found = list(tags.finditer(tail))
    if not found or tail[found[-1].end() :].strip() or not tags.fullmatch(_closing(found[-1][0])):
        return ""
    return tail[found[-1].start() :]


def without_closed_thought(prompt: str, tags: re.Pattern[str], content: str) -> str | None:
    """The prompt less an empty thought at its end, `<think>` and `</think>`, which a server writes so that none is thought.

    None where there is none, or where `content` gives a thought itself.
    """
    found = list(tags.finditer(prompt, max(0, len(prompt) - NEAR)))[-2:]
    if len(found) < 2 or found[1][0] != _closing(found[0][0]) or found[1][0] in content:
        return None
    words = prompt[found[0].end() : found[1].start()] + prompt[found[1].end() :]
    return None if words.strip() else prompt[: found[0].start()]


def said_with_thought(
    content: str, prompt: str, rendered: str, shown: tuple[int, int], tags: re.Pattern[str]
) -> Said | None:
    """`shown` is where `rendered` has the last of the content's words, all that is left of it. None where the text and
    the template do not fit together to the letter."""
    opener = opener_of(prompt, tags)
    start, end = shown
    before = len(prompt) - len(opener)
    words = rendered[start:end]
    kept_from = content.rfind(words)
    begun = len(opener) if content.startswith(opener) else 0  # a server's raw answer has none: the prompt wrote it
    if (
        not opener
        or not rendered.startswith(prompt[:before])
        or start < before
        or not _is_empty_thought(rendered[before:start], opener.strip(), tags)
        or content.rstrip() != content[: kept_from + len(words)]
        or not _closes(content[begun:kept_from], opener.strip(), tags)
    ):
        return None
    thought = content[begun:kept_from]
    return Said(thought + rendered[start:], len(thought) + len(words))


def _closes(thought: str, opened: str, tags: re.Pattern[str]) -> bool:
    """Whether the thought ends in the tag that closes `opened`, and has no other tag in it."""
    found = list(tags.finditer(thought))
    return [tag[0] for tag in found] == [_closing(opened)] and not thought[found[0].end() :].strip()


def _is_empty_thought(between: str, opened: str, tags: re.Pattern[str]) -> bool:
    """Whether the template writes no words in place of the thought: nothing, `</think>` or `<think></think>`."""
    closed = _closing(opened)
    return tags.findall(between) in ([], [closed], [opened, closed]) and not tags.sub("", between).strip()


def _closing(opened: str) -> str:
    return f"{opened[0]}/{opened[1:]}"
