"""Chats that a chat template has written out: texts of ChatML, of the templates of Llama, Mistral, Gemma, Zephyr, Phi and DeepSeek."""

import re
from collections.abc import Iterator

from stages.ingest.conversation import Turn

ROLES = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "ipython": "tool",
}
ROLE = rf"(?P<role>{'|'.join(ROLES)})"
DEEPSEEK = re.compile(r"<｜(?P<role>User|Assistant)｜>")
# How a turn starts -> what ends it.
HEADS = {
    re.compile(rf"<\|im_start\|>{ROLE}\n"): ("<|im_end|>",),
    re.compile(rf"<\|start_header_id\|>{ROLE}<\|end_header_id\|>"): ("<|eot_id|>",),
    re.compile(rf"<start_of_turn>{ROLE}\n"): ("<end_of_turn>",),
    DEEPSEEK: ("",),
    re.compile(rf"<\|{ROLE}\|>"): ("<|end|>", "</s>", "<|endoftext|>", "<|im_end|>"),
}
STARTS = (
    "<｜User｜>",
    "<|im_start|>",
    "<|start_header_id|>",
    "<start_of_turn>",
    "[INST]",
    *(f"<|{role}|>" for role in ROLES),
)
BEFORE = re.compile(r"\s*+(?:(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>|<｜begin▁of▁sentence｜>)\s*+)?+")
ENDS = (
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<end_of_turn>",
    "<|end|>",
    "### End",
)
LLAMA_2 = re.compile(r"(?:<s>\s*+)?+\[INST\]|\[/INST\]")
LLAMA_2_SYSTEM = re.compile(r"\s*+<<SYS>>(?P<system>.*?)<</SYS>>", re.DOTALL)


def rendered_turns(text: str) -> list[Turn]:
    """The turns of a text that such a template wrote from its first character to its last; none for any other text. A
    prompt to be continued ends with an empty turn of the assistant's."""
    start = BEFORE.match(text)
    body = text[start.end() :] if start else text
    if text.lstrip().startswith("<｜begin") and (first := DEEPSEEK.search(body)) and first.start():
        return [Turn("system", body[: first.start()].strip()), *rendered_turns(body[first.start() :])]
    if not body.startswith(STARTS):
        return []
    if body.startswith("[INST]"):
        return list(_llama_2(body))
    for head, ends in HEADS.items():
        if head.match(body):
            return _with_heads(body, head, ends)
    return []


def without_end(text: str) -> str:
    """An answer without the mark that a template ends it with."""
    text = text.strip()
    for end in ENDS:
        text = text.removesuffix(end).rstrip()
    return text


def _with_heads(body: str, head: re.Pattern[str], ends: tuple[str, ...]) -> list[Turn]:
    found = list(head.finditer(body))
    turns: list[Turn] = []
    for mark, later in zip(found, [*found[1:], None], strict=True):
        said = body[mark.end() : later.start() if later else len(body)].strip()
        if later and not said.endswith(ends):
            return []
        turns.append(Turn(ROLES[mark["role"].lower()], without_end(said)))
    return turns


def _llama_2(body: str) -> Iterator[Turn]:
    """Question and answer in turn, the system prompt in the first question."""
    marks = list(LLAMA_2.finditer(body))
    if any(mark[0].endswith("[/INST]") != number % 2 for number, mark in enumerate(marks)):
        return
    for number, (mark, later) in enumerate(zip(marks, [*marks[1:], None], strict=True)):
        said = body[mark.end() : later.start() if later else len(body)].strip()
        if number == 0 and (system := LLAMA_2_SYSTEM.match(said)):
            yield Turn("system", system["system"].strip())
            said = said[system.end() :].strip()
        yield Turn("assistant", without_end(said)) if number % 2 else Turn("user", said)
