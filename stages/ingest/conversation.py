"""One conversation as it is built from a record, and the rules every conversation keeps, whatever its dialect."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from stages.ingest.stage import CONTROL_TOKEN, CONTROL_TOKEN_STARTS, PLACEHOLDER, IngestParams, Repair
from stages.ingest.unusable import Unusable

# What Alpaca's generator wrote where it had no answer; what pandas, SQL clients and spreadsheets write for no value.
NO_VALUE = r"nan|<na>|nat|null|\\n|#n/a|#(?:ref|value|div/0|num|null)!|#name\?"
PLACEHOLDER_ANSWER = re.compile(rf"\s*+(?:<\s*+no\s?(?:out|in)put\s*+>|{NO_VALUE})\s*+", re.IGNORECASE)

# White space, and characters that leave nothing to see: soft hyphens, joiners, marks of direction.
UNSEEN = r"\s\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
BLANK = re.compile(rf"[{UNSEEN}]*")
# The same for whole columns, whose patterns know fewer characters as white space; and answers that need a closer look.
UNSEEN_ONLY = rf"^[\x1c-\x1f{UNSEEN}]*$"
MAY_BE_NO_ANSWER = rf"(?i)^[\s\x1c-\x1f]*(?:<|(?:{NO_VALUE})[\s\x1c-\x1f]*$)"

NAME = re.compile(r"[!-~]{1,200}")  # of a file, a page, a topic: not a passage

MEDIA_MARKS = ("<image>", "<video>", "<audio>")  # as LLaVA's data has them, on lines of their own
MEDIA_MARK = re.compile(r"^\s*<(?:image|video|audio)>\s*$", re.MULTILINE)


class Turn(NamedTuple):
    """One message: role is system, user, assistant, tool or text."""

    role: str
    content: str
    reasoning_content: str | None = None
    tool_calls: str | None = None  # JSON array in OpenAI form


class Conversation(NamedTuple):
    """Turns that end with an answer, or one document of role `text`."""

    turns: list[Turn]
    tools: str | None = None  # JSON array
    task: str | None = None
    repairs: tuple[Repair, ...] = ()
    supervised: tuple[bool, ...] | None = None  # of each answer whether it is to be learnt; None = all of them
    weight: float | None = None  # of each token that counts; None = 1


class Rules:
    """The parameters of a run in the form that deciding over records needs."""

    def __init__(self, params: IngestParams) -> None:
        self.allowed = frozenset(params.repairs)
        self.tree_paths = params.tree_paths
        pattern = params.placeholder_pattern
        self.find_placeholder = re.compile(pattern).search if pattern is not None else _nothing
        special = params.special_token_pattern
        self.find_special_token = re.compile(special).search if special is not None else _nothing
        # one of these stands in every match; None where that is not known
        self.special_token_literals = {None: (), CONTROL_TOKEN: CONTROL_TOKEN_STARTS}.get(special)
        # what every match holds; None where that is not known
        self.placeholder_literal = {None: "", PLACEHOLDER: "{{"}.get(pattern)


def _nothing(_: str) -> None:
    return None


def matching(search: Callable[[str], object], texts: pl.Series) -> pl.Series:
    """For each text whether `search` finds something in it."""
    return pl.Series([search(text) is not None for text in texts], dtype=pl.Boolean)


def any_of(literals: Sequence[str]) -> str:
    """A pattern, as the search for patterns is fifteen times as fast as the search for many texts."""
    return "|".join(map(pl.escape_regex, literals))


Record = Mapping[str, Any]
Place = Callable[[int], str]  # the field of a record in which the turn of that number stands
Converter = Callable[[Record, Mapping[str, str], Rules], list[Conversation | Unusable]]


def text_of(record: Record, field: str | None) -> str:
    """The text of a field; an absent field or null is empty, bytes are text if they are in UTF-8: not every program that
    writes Parquet marks its texts as such. Raises Unusable for anything that is not text."""
    value = record.get(field) if field is not None else None
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unusable("invalid_utf8", field, value) from None
    raise Unusable("not_text", field, value)


def value_of(record: Record, fields: Mapping[str, str], meaning: str) -> Any:
    """What the field of that meaning holds; None where there is none."""
    return record.get(fields[meaning]) if meaning in fields else None


def is_blank(text: str) -> bool:
    """Whether there is nothing to read."""
    return BLANK.fullmatch(text) is not None


def refuse_unusable_prompt(text: str, field: str, rules: Rules) -> None:
    """Raises Unusable for a prompt that says nothing, has blanks, or is about a picture that is not there."""
    if is_blank(text):
        raise Unusable("empty_prompt", field, text)
    if ">" in text and (mark := MEDIA_MARK.search(text)):
        raise Unusable("image_content", field, mark[0].strip())
    if found := rules.find_placeholder(text):
        raise Unusable("unfilled_placeholder", field, found[0])


def refuse_unusable_answer(text: str, field: str) -> None:
    """Raises Unusable for an answer that says nothing."""
    if is_blank(text):
        raise Unusable("empty_answer", field, text)
    if PLACEHOLDER_ANSWER.fullmatch(text):
        raise Unusable("placeholder_answer", field, text)


def refuse_unsafe(conversation: Conversation, rules: Rules) -> None:
    """Raises Unusable for text with NUL characters, or that UTF-8 cannot hold, or that holds control tokens."""
    for turn in conversation.turns:
        for text in turn[1:]:
            if text:
                _refuse_unsafe_text(text, rules)
    if conversation.tools:
        _refuse_unsafe_text(conversation.tools, rules)


def _refuse_unsafe_text(text: str, rules: Rules) -> None:
    if "\0" in text:
        raise Unusable("nul_character", None, text)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Unusable("invalid_unicode", None, text[error.start : error.end]) from None
    if found := rules.find_special_token(text):
        raise Unusable("special_token", None, found[0])


def checked_turns(turns: list[Turn], place: Place, rules: Rules) -> tuple[list[Turn], tuple[Repair, ...]]:
    """The turns up to the last answer, and the repairs that took. Raises Unusable for what cannot be used."""
    answers = [number for number, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers:
        raise Unusable("no_answer" if turns else "no_turns", place(0), " ".join(turn.role for turn in turns))
    repairs: list[Repair] = []
    if answers[-1] < len(turns) - 1:
        if "trailing_turns_removed" not in rules.allowed:
            raise Unusable("unanswered_turn", place(len(turns) - 1), turns[-1].content)
        repairs.append("trailing_turns_removed")
    kept: list[Turn] = []
    before = None  # the role of the last turn that is not the system's
    for number, turn in enumerate(turns[: answers[-1] + 1]):
        _refuse_unusable_turn(turn, place(number), rules)
        if turn.role == "system" and not turn.content.strip():
            continue
        if turn.role == "user" and kept and kept[-1].role == "user" and "user_turns_merged" in rules.allowed:
            kept[-1] = Turn("user", f"{kept[-1].content}\n\n{turn.content}")
            repairs.append("user_turns_merged")
            continue
        _refuse_wrong_order(before, turn.role, place(number))
        before = turn.role if turn.role != "system" else before
        kept.append(turn)
    return kept, tuple(dict.fromkeys(repairs))


def _refuse_unusable_turn(turn: Turn, where: str, rules: Rules) -> None:
    if turn.role == "user":
        refuse_unusable_prompt(turn.content, where, rules)
    elif turn.role == "assistant" and not turn.tool_calls:
        refuse_unusable_answer(turn.content, where)
    elif turn.role == "system" and (found := rules.find_placeholder(turn.content)):
        raise Unusable("unfilled_placeholder", where, found[0])


def _refuse_wrong_order(before: str | None, role: str, where: str) -> None:
    match before, role:
        case None, "assistant":
            raise Unusable("assistant_first", where, role)
        case None | "user", "tool":
            raise Unusable("unexpected_tool_turn", where, role)
        case "user", "user":
            raise Unusable("two_user_turns", where, role)
        case "assistant", "assistant":
            raise Unusable("two_assistant_turns", where, role)
