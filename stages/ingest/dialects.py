"""Tells the dialect of a record from the names of its fields; each dialect has a converter."""

from collections.abc import Mapping
from typing import NamedTuple

from stages.ingest.chat_export import convert_export
from stages.ingest.conversation import Conversation, Converter, Record, Rules
from stages.ingest.doubtful import refuse_label, refuse_rivals
from stages.ingest.flat import (
    convert_benchmark,
    convert_choice,
    convert_document,
    convert_pair,
    convert_seed,
    rows_of_columns,
    weight_of,
)
from stages.ingest.spellings import BESIDE, MEDIA, PROMPT_NAMES, SPELLINGS, WORDS, plain, rivals, spelt, spelt_so
from stages.ingest.split_turns import comes_after_turns, convert_after_turns, convert_split_turns, is_split
from stages.ingest.stage import Column
from stages.ingest.trees import convert_tree
from stages.ingest.turns import convert_turns
from stages.ingest.unusable import Unusable


class Rule(NamedTuple):
    """Records whose fields mean all of `needed`, and none of `without`, are of this dialect; no converter: set aside."""

    name: str
    needed: tuple[str, ...]
    convert: Converter | None
    without: tuple[str, ...] = ()


TREE_FRAGMENT = "tree_fragment"  # one message of a tree that is spread over the file

RULES = (
    Rule("preference_pair", ("chosen", "rejected"), None),
    Rule("preference_pair", ("refused",), None),
    Rule("messages", ("turns",), convert_turns),
    Rule("chat_export", ("mapping",), convert_export, without=("prompt", "response", "text")),
    Rule("oasst_tree", ("tree", "message_tree_id"), convert_tree),
    Rule(TREE_FRAGMENT, ("message_id", "role", "text"), None),  # a root may have no parent_id at all
    Rule(TREE_FRAGMENT, ("parent_id", "role"), None),
    Rule("self_instruct", ("instances", "prompt"), convert_seed),
    Rule("multiple_choice", ("choices", "gold", "prompt"), convert_choice),
    Rule("prompt_response", ("prompt", "response"), convert_pair),
    Rule("benchmark", ("asked",), convert_benchmark),
    Rule("no_answer", ("prompt",), None),
    Rule("no_prompt", ("response",), None),
    Rule("document", ("text",), convert_document, without=("role", "label", "ts", "summary")),  # Slack
)
BY_SPELLING = {  # a narrower name than the rule's, by the spelling of its first field
    "conversations": "sharegpt",
    "instruction": "alpaca",
    "question": "question_answer",
    "query": "question_answer",
    "model_prompt": "question_answer",
}
NOTHING: tuple[object, ...] = (None, "", [])
HAS_OTHERS = ("context", "more_context", "task")  # all passages are read, one below the other; a label may be missing

BY_COLUMN = {"turns": convert_turns, "prompt": convert_pair, "text": convert_document}  # by the first that is named


class Dialect(NamedTuple):
    """How records with certain field names are read."""

    name: str
    main_field: str | None  # the field without which a record is not of this dialect
    fields: Mapping[str, str]  # what the converter reads -> the record's own name for it
    media_fields: tuple[str, ...]
    convert: Converter | None  # None: records of this kind are set aside, and the name says why
    rivals: Mapping[str, tuple[str, ...]] = {}  # beside the prompt and the response, fields that may be meant as well

    @property
    def is_exchange(self) -> bool:
        """Whether records of this kind hold an answer; what is only a text may belong to what stands beside it."""
        return self.convert not in (None, convert_document)

    def read(self, record: Record, rules: Rules) -> list[Conversation | Unusable]:
        """The conversations of a record. Raises Unusable where it holds none, or more than text."""
        if self.convert is None:
            raise Unusable(self.name, self.main_field, dict(record))
        for name in self.media_fields:
            if record[name] and not isinstance(record[name], bool | int | float):
                raise Unusable("image_content", name, record[name])
        if "desired" in self.fields and _is_false(record[self.fields["desired"]]):
            raise Unusable("undesired_answer", self.fields["desired"], record[self.fields["desired"]])
        if self.convert is convert_pair:
            return self._read_pair(record, rules)
        return self._weighed(self.convert(record, self.fields, rules), record)

    def _read_pair(self, record: Record, rules: Rules) -> list[Conversation | Unusable]:
        fields, convert = self.fields, convert_pair
        if is_split(record, fields):
            convert = convert_split_turns
        elif comes_after_turns(record, fields):
            convert = convert_after_turns
        elif isinstance(record[fields["prompt"]], list | dict) and (rows := rows_of_columns(record, fields)):
            return [one for row, names in rows for one in self._replace(fields=names)._read_row(row, rules)]
        else:
            refuse_rivals(record, fields, self.rivals)
            refuse_label(record, fields)
        return self._weighed(convert(record, fields, rules), record)

    def _weighed(self, made: list[Conversation | Unusable], record: Record) -> list[Conversation | Unusable]:
        """With what the record says of its weight in the loss, where a message of a tree says nothing of its own."""
        weight = weight_of(record, self.fields.get("weight"))
        if weight is None:
            return made
        return [
            one._replace(weight=weight) if isinstance(one, Conversation) and one.weight is None else one for one in made
        ]

    def _read_row(self, row: Record, rules: Rules) -> list[Conversation | Unusable]:
        try:
            return self._replace(media_fields=(), rivals={}).read(row, rules)
        except Unusable as unusable:
            return [unusable]


class Dialects:
    """Finds the dialect of each record; records with the same field names are looked at once."""

    def __init__(self, columns: Mapping[Column, str]) -> None:
        self._columns: dict[str, str] = {
            "turns" if meaning == "messages" else meaning: plain(name) for meaning, name in columns.items()
        }
        self._known: dict[tuple[str, ...], Dialect] = {}

    def of(self, record: Record) -> Dialect:
        """A field that holds nothing counts as none where another one tells what it would: tables of several data sets are
        full of them."""
        dialect = self.by_names(tuple(record))
        given = tuple(name for name, value in record.items() if value not in NOTHING)
        if len(given) == len(record):
            return dialect
        other = self.by_names(given)
        return other if _tells_more(other, dialect, record) else dialect

    def weight_field(self, record: Record) -> str | None:
        """The field that says what a record weighs in the loss, whatever else it holds."""
        if not self._columns:
            return spelt_so("weight", record)
        return next((name for name in record if plain(name) == self._columns.get("weight")), None)

    def tells_apart(self, names: tuple[str, ...]) -> bool:
        """Whether no two of the names mean the same field, so that their order says nothing."""
        return len(set(map(plain, names))) == len(names)

    def by_names(self, names: tuple[str, ...]) -> Dialect:
        """The dialect of records whose fields all hold something."""
        known = self._known.get(names)
        if known is None:
            known = self._known[names] = self._detect({plain(name): name for name in reversed(names)})
        return known

    def _detect(self, names: Mapping[str, str]) -> Dialect:
        media = tuple(names[name] for name in MEDIA if name in names)
        if self._columns and names.keys() >= set(self._columns.values()):
            fields = {meaning: names[name] for meaning, name in self._columns.items()}
            main, convert = next((name, by) for name, by in BY_COLUMN.items() if name in fields)
            return Dialect("columns", fields[main], fields, media, convert)
        told = spelt(names)
        fields = {meaning: names[spelling] for meaning, spelling in told.items() if spelling}
        for rule in RULES:
            if fields.keys() >= set(rule.needed) and not fields.keys() & set(rule.without):
                name = BY_SPELLING.get(told[rule.needed[0]] or "", rule.name) if rule.convert else rule.name
                if name == "alpaca" and told["context"] == "context":
                    name = "dolly"
                others = rivals(names, told) if rule.convert is convert_pair else {}
                return Dialect(name, fields[rule.needed[0]], fields, media, rule.convert, others)
        return self._by_words(names, media) or Dialect("unknown_dialect", None, {}, media, None)

    def _by_words(self, names: Mapping[str, str], media: tuple[str, ...]) -> Dialect | None:
        """A prompt and a response where just one name holds a word for each, as in `Customer Question` and `Bot Answer`."""
        told = {name: set(name.split("_")) for name in names}
        found = {
            meaning: [name for name, words in told.items() if words & WORDS[meaning] and not words & BESIDE]
            for meaning in ("prompt", "response")
        }
        if [len(named) for named in found.values()] != [1, 1] or found["prompt"] == found["response"]:
            return None
        fields = {meaning: names[named[0]] for meaning, named in found.items()}
        for meaning in ("task", "weight"):
            if named_so := next((names[name] for name in SPELLINGS[meaning] if name in names), None):
                fields[meaning] = named_so
        return Dialect("question_answer", fields["prompt"], fields, media, convert_pair)


def _tells_more(given: Dialect, stated: Dialect, record: Record) -> bool:
    """Whether the fields of a record that hold something tell what those leave open that are stated."""
    if given.convert is None or stated.convert is None or stated.main_field is None:
        return given.convert is not None
    names = stated.fields
    has_main = record[stated.main_field] not in NOTHING
    if stated.name == "columns":
        return all(record[field] in NOTHING for field in names.values())
    if given.convert is not stated.convert:
        return not has_main
    if not has_main and stated.convert is convert_pair and given.fields["response"] == names["response"]:
        return plain(given.fields["prompt"]) in PROMPT_NAMES  # a passage is no prompt where the question is missing
    return not has_main or any(
        record[field] in NOTHING and meaning in given.fields
        for meaning, field in names.items() if not meaning.startswith(HAS_OTHERS)
    )  # fmt: skip


def _is_false(value: object) -> bool:
    """Tables of text hold the word; the number 0 may be a class."""
    return value is False or (isinstance(value, str) and value.strip().lower() == "false")
