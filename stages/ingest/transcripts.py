"""Chats that were written down as one text: `### Human: … ### Assistant: …`, `USER: … ASSISTANT: …`, `<human>: … <bot>: …`."""

import re

from stages.ingest.conversation import Turn
from stages.ingest.rendered import rendered_turns, without_end

# Who asks -> who answers, under the same marks. Those of the second only in headings: prose has them at line starts too.
PARTNERS = {"human": ("assistant", "ai", "bot", "gpt"), "user": ("assistant", "ai", "bot", "chatbot", "model")}
PARTNERS_IN_HEADINGS = PARTNERS | {
    "instruction": ("response", "output"),
    "question": ("answer", "response"),
    "prompt": ("response", "completion"),
}
OPENING = re.compile(r"\s*+(?P<before>#{2,3} ?|<|\*\*|)(?P<name>[A-Za-z]{2,12})(?P<after>>:|:\*\*|\*\*:| ?:)")
VICUNA = re.compile(
    r"\s*+(?P<system>A chat between a curious [^\n]{1,500}?) USER:"
)  # as FastChat writes its system prompt
# For whole columns: texts that may end where an answer is due, which is true more often than `transcript` finds one.
ANSWERED_BY = "|".join(sorted({name for names in PARTNERS_IN_HEADINGS.values() for name in names}))
MAY_AWAIT_ANSWER = rf"(?i)(?:{ANSWERED_BY})[ *>]{{0,3}}:[\s*]*$"


def transcript(text: str) -> list[Turn]:
    """The turns of a text that starts with the mark of who asks, or of the system, and holds one of who answers; none for
    any other text. The first mark tells what the others look like: other names are part of what is said."""
    if written := rendered_turns(text):
        return written if any(turn.role == "assistant" for turn in written) else []
    vicuna = VICUNA.match(text)
    turns = [Turn("system", vicuna["system"].strip())] if vicuna else []
    marks = _marks_in(text, vicuna.end("system") if vicuna else 0)
    found = list(marks.finditer(text, vicuna.end("system") if vicuna else 0)) if marks else []
    if not {"asked", "answered"} <= {mark.lastgroup for mark in found}:
        return []
    for mark, later in zip(found, [*found[1:], None], strict=True):
        said = text[mark.end() : later.start() if later else len(text)].strip()
        if mark.lastgroup == "input" and turns and turns[-1].role == "user":
            turns[-1] = Turn("user", f"{turns[-1].content}\n\n{said}".strip())
        elif mark.lastgroup == "answered":
            turns.append(Turn("assistant", without_end(said)))
        elif mark.lastgroup == "tool":
            turns.append(Turn("tool", said))
        else:
            turns.append(Turn("system" if mark.lastgroup == "system" else "user", said))
    return turns


def starts_with_mark(text: str) -> bool:
    """Whether a text starts with the mark of who asks."""
    return _marks_in(text, 0) is not None


def _marks_in(text: str, start: int) -> re.Pattern[str] | None:
    """The marks of a text that starts with one; None where it does not."""
    opening = OPENING.match(text, start)
    if not opening:
        return None
    before, name, after = opening["before"].strip(), opening["name"], opening["after"].strip()
    if name.lower() != "system":
        return _pattern(before, name, after)
    found = (_pattern(before, _like(name, asked), after, "system") for asked in PARTNERS_IN_HEADINGS)
    return next((marks for marks in found if marks and _asks(marks.search(text, opening.end()))), None)


def _asks(mark: re.Match[str] | None) -> bool:
    return mark is not None and mark.lastgroup == "asked"


def _pattern(before: str, name: str, after: str, beside: str = "") -> re.Pattern[str] | None:
    is_heading = before.startswith("#")
    partners = (PARTNERS_IN_HEADINGS if is_heading else PARTNERS).get(name.lower())
    is_plain = name in (name.upper(), name.lower(), name.capitalize())
    if not partners or not is_plain:
        return None
    names = {"asked": [name], "answered": ["AI" if one == "ai" else _like(name, one) for one in partners]}
    names |= {"tool": ["FUNCTION RESPONSE"]} if name == "USER" else {}  # Glaive's
    names |= {"system": [_like(name, "system")]} if is_heading or beside else {}
    names |= {"input": [_like(name, "input")]} if name.lower() == "instruction" else {}
    groups = "|".join(f"(?P<{role}>{'|'.join(spelt)})" for role, spelt in names.items())
    # Headings and names in capitals stand anywhere, other marks at the start of a line.
    where = "" if is_heading else r"(?<![^\s>])" if name.isupper() else r"(?m:^)[ \t]{0,3}"
    opened = r"#{2,3} ?" if is_heading else re.escape(before)
    return re.compile(f"{where}{opened}(?:{groups}){' ?:' if after == ':' else re.escape(after)}")


def _like(name: str, other: str) -> str:
    """Another name in the same case."""
    return other.upper() if name.isupper() else other if name.islower() else other.capitalize()
