"""What is wrong with an answer, told from the answer alone."""

import re
import unicodedata
from collections.abc import Collection, Sequence

from stages.modelling.chat_template import ChatTokenizer, RenderError

LONGEST_LOOP = 64  # tokens of the repeated part
FEWEST_REPEATS = 4
SHORTEST_LOOP = 16  # tokens that all repeats cover: "ha ha ha ha" is no loop yet
PROBE = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "second question"},
]


def is_looping(ids: Sequence[int]) -> bool:
    """Whether an answer ends in the same few tokens again and again."""
    for period in range(1, min(LONGEST_LOOP, len(ids) // FEWEST_REPEATS) + 1):
        same = 0
        while same + period < len(ids) and ids[-1 - same] == ids[-1 - same - period]:
            same += 1
        if same + period >= max(period * FEWEST_REPEATS, SHORTEST_LOOP):
            return True
    return False


def same_answer(answer: str, reference: str) -> bool:
    """Whether two answers are the same but for case, white space, and a full stop at the end."""
    return _normalised(answer) == _normalised(reference)


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".")


def role_marks(chat: ChatTokenizer, end_tokens: Collection[str]) -> frozenset[str]:
    """Texts with which the template opens a turn, such as `<|im_start|>` or `### Instruction:`.

    An answer with one of them plays the other side too. Found by rendering a probe: control tokens that stand in it,
    and what is written between the turns, if it has a sign in it (a bare `user` is a word like any other).
    """
    try:
        text = chat.template.render(PROBE, add_generation_prompt=True)
    except RenderError:  # a template may ask for a system turn, or forbid a second question
        return frozenset()
    steering = {token for token in chat.control_tokens | set(end_tokens) if token in text}
    between = re.split("|".join(re.escape(str(turn["content"])) for turn in PROBE), text)[1:]
    pieces = re.split("|".join(map(re.escape, sorted(steering, key=len, reverse=True))) or r"(?!)", "\n".join(between))
    written = {line.strip() for piece in pieces for line in piece.splitlines()}
    return frozenset(
        mark
        for mark in (steering - set(end_tokens)) | written
        if re.search(r"\w", mark) and re.search(r"[^\w\s]", mark)
    )


def leaks_role(answer: str, marks: Collection[str]) -> bool:
    """Whether an answer holds one of the template's marks."""
    return any(mark in answer for mark in marks)
