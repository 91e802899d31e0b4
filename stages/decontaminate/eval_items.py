"""Reads the texts of evaluation items, whatever the fields of their files are called."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stages.errors import DataError
from stages.records import BrokenRecord, read_records
from stages.source_files import SourceFile

PROMPT_FIELDS = {"question", "prompt", "instruction", "query", "problem", "goal", "input", "context", "passage"}
PROMPT_FIELDS |= {"text", "sentence", "premise", "content", "value", "turns", "messages", "conversations"}
ANSWER_FIELDS = {"answer", "answers", "output", "response", "completion", "solution", "target", "reference"}
ANSWER_FIELDS |= {"continuation", "explanation"}
DIALOGUE_FIELDS = {"turns", "messages", "conversations", "conversation", "replies"}
ANSWERING = {"assistant", "gpt", "model", "bot", "chatgpt"}
LEAST_WORDS_OF_UNKNOWN_FIELD = 8
LABEL = r"(?i)^\s*(question|q|instruction|query|problem)\s*:|\b(answer|a)\s*:\s*$"  # around a question, not part of it


class EvalText(NamedTuple):
    """One text of an item that no training row should contain."""

    file: str  # name of the eval file
    item: int  # position of the record in it
    text: str
    role: str  # prompt: what the model is asked first; turn: what it is asked later; answer


def read_eval_texts(evals: Sequence[SourceFile]) -> list[EvalText]:
    """The texts of every item of the files, in order.

    Raises DataError, naming file and record, for a record that cannot be read or has no text to compare: an item
    that is not checked would pass for clean.
    """
    texts = [text for file in evals for text in _texts_of_file(file)]
    if not texts:
        raise DataError("evals: the folder holds no file with records; give the evaluation files, or leave evals out")
    return texts


def _texts_of_file(file: SourceFile) -> Iterator[EvalText]:
    for record in read_records(file):
        if isinstance(record, BrokenRecord):
            where = "the file" if record.index is None else f"record {record.index}"
            raise DataError(
                f"evals: {where} of {file.name} cannot be read at byte {record.byte_offset} ({record.reason}: "
                f"{record.detail}); rows cannot be checked against it, so mend or remove it"
            )
        found = list(texts_of(record.value))
        if not found:
            fields = sorted(record.value) if isinstance(record.value, Mapping) else type(record.value).__name__
            raise DataError(
                f"evals: record {record.index} of {file.name} has no text to compare; it has {fields}, and known "
                f"fields are {', '.join(sorted(PROMPT_FIELDS | ANSWER_FIELDS))}; rename a field or remove the record"
            )
        for text, role in found:
            yield EvalText(file.name, record.index, text, role)


def texts_of(record: object) -> Iterator[tuple[str, str]]:
    """Text and role of every field that holds a question or an answer.

    In a record without any known field every string of 8 words or more counts as a prompt.
    """
    known = list(_walk(record, "text"))
    unknown = [(text, "prompt") for text in _strings(record) if len(text.split()) >= LEAST_WORDS_OF_UNKNOWN_FIELD]
    for text, role in known or unknown:
        if stripped := re.sub(LABEL, "", text).strip():
            yield stripped, role


def _walk(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for field, entry in _composed(value).items():
            yield from _walk(entry, str(field))
    elif isinstance(value, list | tuple):
        yield from _walk_list(value, name)
    elif isinstance(value, str) and value.strip():
        kind = re.findall(r"[a-z]+", name.lower())[-1:]
        if kind and kind[0] in PROMPT_FIELDS | ANSWER_FIELDS:
            yield value, "prompt" if kind[0] in PROMPT_FIELDS else "answer"


def _walk_list(entries: Sequence[object], name: str) -> Iterator[tuple[str, str]]:
    """Of a dialogue only the first question is a prompt; those after it are turns."""
    asked = False
    for entry in entries:
        for text, role in _walk(entry, name):
            yield text, "turn" if asked and role == "prompt" else role
            asked |= role == "prompt" and name in DIALOGUE_FIELDS


def _composed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its texts put together as a model is asked: instruction with input, question with choices."""
    fields = dict(record)
    speaker = str(fields.get("role") or fields.get("from") or "").lower()
    if speaker == "system":
        return {}
    if speaker in ANSWERING:
        said = [fields[name] for name in ("content", "value", "text") if name in fields]
        return {"answer": said, "replies": fields.get("replies")}
    instruction, given = fields.get("instruction"), fields.get("input")
    if isinstance(instruction, str) and isinstance(fields.get("instances"), list):
        instances = [_composed({"instruction": instruction, **instance}) for instance in fields.pop("instances")]
        return {**fields, "instruction": None, "instances": instances}
    if isinstance(instruction, str) and isinstance(given, str) and given.strip():
        fields |= {"instruction": f"{instruction}\n\n{given}", "input": None}
    choices = fields.get("choices") or fields.get("options")
    question = fields.get("question") or fields.get("query")
    if isinstance(choices, list) and isinstance(question, str):
        fields["question_with_choices_prompt"] = "\n".join([question, *(str(choice) for choice in choices)])
    return fields


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _strings(entry)
