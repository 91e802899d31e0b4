"""One row of the mixture as the template sees it, and what of it must be found again in the rendered text."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from re import Pattern
from typing import Any

from stages.modelling.template_messages import Message, RenderError, Tools, template_messages, template_tools
from stages.tokenize.marks import Marked, mark_conversation
from stages.tokenize.refusal import Refusal


@dataclass(frozen=True)
class Conversation:
    """Messages and tools in the template's form; `answers` are the positions of the assistant's turns."""

    messages: list[Message]
    tools: Tools | None
    tags: Pattern[str] = re.compile(r"(?!)")  # what the template may look for inside a text

    @cached_property
    def _marked(self) -> Marked:
        return mark_conversation(self.messages, self.tools, self.tags, names=("call", "tool"))

    @property
    def marked(self) -> Iterator[Marked]:
        """The conversation with marks; then with none in the names of tools, for a template that writes tools as Python
        writes a dict, where marks are lost; then, for a template that looks at names, with none in any."""
        yield self._marked
        kinds = {text.kind for text in self._marked.texts}
        if {"call", "tool"} <= kinds:
            yield mark_conversation(self.messages, self.tools, self.tags, names=("call",))
        if "call" in kinds or "tool" in kinds:
            yield mark_conversation(self.messages, self.tools, self.tags, names=())

    def marked_for(self, position: int) -> Iterator[tuple[Marked, bool]]:
        """`marked`, each False; then, True, with marks in the answer at `position` alone, for a template that looks into
        the texts of other turns."""
        yield from ((marked, False) for marked in self.marked)
        yield mark_conversation(self.messages, self.tools, self.tags, names=("call",), only=position), True

    @property
    def answers(self) -> list[int]:
        return [position for position, message in enumerate(self.messages) if message["role"] == "assistant"]


def is_document(messages: list[Mapping[str, Any]]) -> bool:
    return len(messages) == 1 and messages[0]["role"] == "text"


def read_conversation(
    messages: list[Mapping[str, Any]], tools: str | None, control: Pattern[str], tags: Pattern[str]
) -> Conversation:
    """The row's messages in the template's form, none of which holds a control token. Raises Refusal."""
    if any(message["role"] == "text" for message in messages):
        raise Refusal("misplaced_text", "a turn with the role text stands among others")
    try:
        made = Conversation(template_messages(messages), template_tools(tools), tags)
    except RenderError as error:
        raise Refusal("template_error", str(error)) from error
    for position, message in enumerate(made.messages):
        refuse_control_tokens(_texts(message), control, f"message {position}")
    if made.tools:
        refuse_control_tokens([_as_text(made.tools)], control, "tools")
    return made


def refuse_control_tokens(texts: list[str], control: Pattern[str], where: str) -> None:
    """Raises Refusal when a text would be read as a control token."""
    for text in texts:
        if found := control.search(text):
            raise Refusal("control_token_in_text", f"{where} holds {found[0]}")


def _texts(message: Message) -> list[str]:
    texts = [message["content"], message.get("reasoning_content", "")]
    return [*texts, _as_text(message["tool_calls"])] if "tool_calls" in message else texts


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def refuse_dropped_tools(tools: Tools | None, prompt: str) -> None:
    """Raises Refusal when a tool that is offered is missing from what a server would send."""
    for tool in tools or []:
        if (name := _tool_name(tool)) not in prompt:
            raise Refusal("dropped_tools", f"the tool {name} does not show up in the rendered text")


def refuse_dropped_calls(message: Message, rendered: str, position: int) -> None:
    """Raises Refusal when `rendered` lacks the name, or an argument's name or text, of a tool call of `message`."""
    for call in message.get("tool_calls", []):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        stated = [name, *(_words(arguments) if isinstance(arguments, dict) else [])]
        if missing := [word for word in stated if not _shows(word, rendered)]:
            raise Refusal(
                "dropped_tool_call", f"turn {position} calls {name}; {missing[0]} is not in the rendered text"
            )


def _words(value: Any) -> Iterator[str]:
    """The keys and texts in a JSON value; numbers and the like have no one spelling."""
    if isinstance(value, dict):
        yield from value
    elif isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _words(inner)


def _tool_name(tool: Any) -> str:
    """The name of a tool in OpenAI form, or in the bare form {name, parameters}."""
    described = tool.get("function", tool) if isinstance(tool, dict) else {}
    return str(described.get("name", "")) if isinstance(described, dict) else ""


def _shows(content: str, rendered: str) -> bool:
    """Whether `rendered` has the text, as it is or as a JSON string once or twice over; white space may be gone."""
    text = content.strip()
    quoted = _as_text(text)[1:-1]
    return any(form in rendered for form in (text, quoted, _as_text(quoted)[1:-1], json.dumps(text)[1:-1]))
