"""Records inside of what a file holds as one value: tables, lists, wrappers, logs of requests, annotated records."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

from stages.ingest.annotations import annotated
from stages.ingest.dialects import Dialects
from stages.ingest.request_logs import logged
from stages.ingest.responses_api import with_messages
from stages.ingest.spellings import CONTEXTS, PROMPT_NAMES, SPELLINGS, plain, spelt_so, words
from stages.ingest.transcripts import starts_with_mark
from stages.ingest.turns import is_turn
from stages.ingest.unusable import Unusable

Placed = tuple[str, dict[str, Any]]  # where it stands in the value, and the record

# Fields that hold a whole record, or a list of them, where the record around them is none.
WRAPPERS = words(
    "data row record json fields example item sample entry payload body doc _source "
    "rows records examples items samples entries results dataset train validation test paragraphs qas "
    "qa qa_pairs faqs questions chat"
)
TOLD_IN_TURN = ("dialog", "dialogue", "utterances", "conversations")  # DailyDialog, LIMA: what two people say in turn
# Beside the names that always mean turns.
HOLD_TURNS = words("dialog dialogue turns chat utterances trajectory traj chatml openai_messages")
CARRIED_IN = ("task", "weight", "system", "tools", "definition")  # what a record says of those within it
TOLD_IN = dict.fromkeys((*TOLD_IN_TURN, *HOLD_TURNS))
NO_RECORD = {"unknown_dialect", "no_answer", "no_prompt"}  # dialects of records that may hold one


def records_within(value: object) -> list[Placed]:
    """A value as records: a plain document is a field `text`, a list of messages or of [question, answer] is a field
    `messages`, and so is one such pair, or what two say in turn; a table of pandas' (`orient="split"`) has a field for
    each column, and of other lists each object is a record. Raises Unusable for what holds none."""
    match value:
        case dict():
            return [(place, logged(one) or one) for place, one in _objects(with_messages(value))]
        case str():
            return [("", {"text": value})]
        case [dict(), *_] if not any(map(is_turn, value)) and all(isinstance(one, dict) for one in value):
            return [(f"[{number}]", one) for number, one in enumerate(value) if isinstance(one, dict)]
        case [dict(), *_] | [[str(), str()], *_]:
            return [("", {"messages": value})]
        case [str(), str()]:
            return [("", {"messages": [value]})]
    raise Unusable("not_an_object", None, value)


def _objects(value: dict[str, Any]) -> list[Placed]:
    match value:
        case {"columns": [str(), *_] as names, "data": [[*_], *_] as rows} if _is_table(names, rows):
            return [("", {name: [row[place] for row in rows] for place, name in enumerate(names)})]
        case {"id": name, "data": [str(), str(), *_] as turns, **rest} if not rest and _are_texts(turns):
            return [("", {"id": name, "messages": _in_turn(turns)})]  # as UltraChat has it
        case {"inputs": dict() as asked, "outputs": dict() as answered} if _are_two_parts(asked, answered):
            beside = {name: part for name, part in value.items() if name not in ("inputs", "outputs")}
            return [_told_in_turn({**beside, **asked, **answered})]  # as LangSmith has it
        case {"object": "chat.completion.chunk"}:
            raise Unusable("answer_fragment", "object", value)
        case {"conversations": [{"messages": [*_]}, *_] as chats} if not any(map(is_turn, chats)) and len(value) == 1:
            return [(f"conversations[{number}]", one) for number, one in enumerate(chats) if isinstance(one, dict)]
    rows = value.get("messages", value.get("conversations"))
    if isinstance(rows, dict) and rows and _are_numbered(value, rows):
        return [(f"[{row}]", {name: column[row] for name, column in value.items()}) for row in rows]
    return [_told_in_turn(value)]


def _are_two_parts(asked: Mapping[str, Any], answered: Mapping[str, Any]) -> bool:
    return bool(asked and answered) and not asked.keys() & answered.keys()


def _are_numbered(columns: Mapping[str, Any], rows: Mapping[str, Any]) -> bool:
    """Whether each column is an object with the same row numbers (pandas' `orient="columns"`)."""
    are_numbers = all(isinstance(row, str) and row.isdecimal() for row in rows)
    return are_numbers and all(isinstance(one, dict) and one.keys() == rows.keys() for one in columns.values())


def unwrapped(record: Mapping[str, Any], dialects: Dialects) -> list[Placed]:
    """The records that a record of no use holds: what annotators made of it, or those of its one field that holds any; what
    it says itself holds for them: task and weight, instruction and system prompt, passages and tools."""
    if cut := record.get("truncated_cells"):  # as the dataset viewer's API tells it
        raise Unusable("cut_off", "truncated_cells", cut)
    beside = [name for meaning in CARRIED_IN if (name := spelt_so(meaning, record))]
    texts = [
        name for name, value in record.items() if plain(name) in (*PROMPT_NAMES, *CONTEXTS) and isinstance(value, str)
    ]
    told = {name: record[name] for name in (*beside, *texts)}
    return [(place, told | one) for place, one in _inner(record, dialects)]


def _inner(record: Mapping[str, Any], dialects: Dialects) -> list[Placed]:
    if made := annotated(record, dialects):
        place = next((name for name in ("fields", "data") if name in record), "")
        return [(place, one) for one in made]
    found = [placed for name in WRAPPERS if (placed := list(_wrapped(name, record.get(name), dialects)))]
    return found[0] if len(found) == 1 else []


def _wrapped(name: str, value: object, dialects: Dialects) -> Iterator[Placed]:
    ones: list[Any] = value if isinstance(value, list) else [value]
    if not ones or not all(isinstance(one, dict) for one in ones):
        return
    if dialects.of(ones[0]).is_exchange or unwrapped(ones[0], dialects):
        for number, one in enumerate(ones):
            yield f"{name}[{number}]" if isinstance(value, list) else name, one


def _is_table(names: list[Any], rows: list[Any]) -> bool:
    """Whether each row has a cell for each column, and each column a name of its own."""
    return (
        _are_texts(names)
        and len(set(names)) == len(names)
        and all(isinstance(row, list) and len(row) == len(names) for row in rows)
    )


def _told_in_turn(record: dict[str, Any]) -> Placed:
    """The record, or with what two say in turn in one of its fields as messages; the field stays, as it may be named."""
    if TOLD_IN.keys().isdisjoint(record):
        return "", record
    for name in TOLD_IN:
        said = record.get(name)
        has_others = any(other != name and record.get(other) for other in SPELLINGS["turns"])
        if not isinstance(said, list | str) or not said or has_others:
            continue
        if name in HOLD_TURNS and (starts_with_mark(said) if isinstance(said, str) else all(map(is_turn, said))):
            return name, {**record, "messages": said}
        if isinstance(said, str):
            continue
        if name in TOLD_IN_TURN and _are_plain(said) and _are_two(record.get("speakers")):
            return name, {**record, "messages": _in_turn(said)}
    return "", record


def _are_plain(said: list[Any]) -> bool:
    """Whether texts are what is said and nothing else: no objects as JSON has them, no names of who speaks."""
    return _are_texts(said) and not said[0].lstrip().startswith("{") and not starts_with_mark(said[0])


def _are_two(speakers: object) -> bool:
    """Whether those who speak take turns (SODA); so do they where nothing is said of them."""
    if not isinstance(speakers, list) or not speakers:
        return True
    alternate = all(speakers[number] == speakers[number % 2] for number in range(len(speakers)))
    return alternate and len(set(map(str, speakers[:2]))) == len(speakers[:2])


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _in_turn(texts: list[str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]
