"""The second derivation for a template that looks into the texts of the turns before an answer, so that marks change it.

It counts their letters, cuts them or makes the first one large. Then only the answer has marks, and each text before it
is replaced by two others of the same form: the prompt has to tell them apart and to have a word of the true one, or the
text is dropped; what the model must say has to stay the same, or it holds some of them.
"""

import re
from typing import NamedTuple

from stages.modelling.chat_template import ChatTokenizer, RenderError, Settings
from stages.modelling.template_messages import Message, as_parts
from stages.tokenize.conversation import Conversation
from stages.tokenize.refusal import Refusal

WORD = re.compile(r"[^\W_]+")
SHIFTS = (3, 7)  # letters in the alphabet


class Asked(NamedTuple):
    """An answer that is asked for."""

    chat: ChatTokenizer
    conversation: Conversation
    position: int
    settings: Settings

    def prompt(self, before: list[Message]) -> str:
        """What a server would send behind other turns. Raises RenderError."""
        return self.chat.template.render(
            before, self.conversation.tools, add_generation_prompt=True, settings=self.settings
        )

    def rendered(self, before: list[Message]) -> str:
        """What the template writes of other turns and the answer. Raises RenderError."""
        messages = [*before, self.conversation.messages[self.position]]
        return self.chat.template.render(
            messages, self.conversation.tools, add_generation_prompt=False, settings=self.settings
        )


def refuse_hidden(asked: Asked, prompt: str, said: str) -> None:
    """Raises Refusal where a text before the answer is not in `prompt`, or anything of one in `said`, which follows it."""
    before = asked.conversation.messages[: asked.position]
    try:
        for place, message in enumerate(before):
            if message["role"] != "assistant" and message["content"].strip():
                _refuse_dropped(asked, prompt, place)
        others = [_other(message, SHIFTS[0]) for message in before]
        if asked.rendered(others) != asked.prompt(others) + said:
            raise Refusal(
                "derivations_disagree", f"what would be learned in turn {asked.position} hangs on turns before it"
            )
    except RenderError as error:
        raise Refusal(
            "derivations_disagree", f"turn {asked.position} cannot be rendered behind other texts: {error}"
        ) from error


def _refuse_dropped(asked: Asked, prompt: str, place: int) -> None:
    before = asked.conversation.messages[: asked.position]
    message = before[place]
    first, second = (asked.prompt([*before[:place], _other(message, shift), *before[place + 1 :]]) for shift in SHIFTS)
    words = WORD.findall(message["content"].casefold())
    if not words:
        raise Refusal("derivations_disagree", f"the {message['role']} turn at {place} has no letters to tell it by")
    as_python = str(as_parts([message])[0]["content"])  # which no template means to write
    if first == second or as_python in prompt or not any(word in prompt.casefold() for word in words):
        raise Refusal(
            "dropped_system" if message["role"] == "system" else "dropped_turn",
            f"the {message['role']} turn at {place} does not show up in the rendered text as far as can be told",
        )


def _other(message: Message, shift: int) -> Message:
    """The message with other letters and digits, each of the kind that was there, and all else as it is."""
    return message | {"content": "".join(_shifted(letter, shift) for letter in message["content"])}


def _shifted(letter: str, shift: int) -> str:
    for first, count in (("a", 26), ("A", 26), ("0", 10)):
        if 0 <= ord(letter) - ord(first) < count:
            return chr(ord(first) + (ord(letter) - ord(first) + shift) % count)
    return chr(0x100 + 2 * shift) if letter.isalpha() else letter
