"""Reads the texts of evaluation items, whatever the fields of their files are called."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from stages.decontaminate.eval_files import EvalFile, eval_records, why_skipped
from stages.errors import DataError
from stages.raw_files.json_repairs import python_value, without_numpy
from stages.raw_files.source_files import SourceFile

PROMPT_FIELDS = {"question", "prompt", "instruction", "query", "problem", "goal", "input", "context", "passage"}
PROMPT_FIELDS |= {"text", "sentence", "premise", "content", "value", "turns", "messages", "conversations", "stem", "q"}
PROMPT_FIELDS |= {
    "task",
    "statement",
    "story",
    "article",
    "document",
    "ctx",
    "hypothesis",
    "dialog",
    "dialogue",
    "request",
}
ANSWER_FIELDS = {"answer", "answers", "output", "response", "completion", "solution", "target", "reference"}
ANSWER_FIELDS |= {"continuation", "explanation", "summary"}
ANSWER_FIELDS |= {"rationale"}
CHOICE_FIELDS = {"choices", "options", "endings"}  # wrong answers for the most part: read with their question only
CORRECT_FIELDS = ("gold", "label", "answer", "correct")  # number of the right choice
DIALOGUE_FIELDS = {"turns", "messages", "conversations", "conversation", "replies"}
ANSWERING = {"assistant", "gpt", "model", "bot", "chatgpt"}
LEAST_WORDS_OF_UNKNOWN_FIELD = 8
LEAST_WORDS_OF_LONGEST = 3  # where no unknown field has as many: of its fields the longest
DEFINITION = r"(?m)^\s*(?:async\s+)?def\s+(\w+)\s*\("
DOCSTRING = r'(?s)("""|\'\'\')(.*?)\1'
EXAMPLES = r"(?i)>>>|\bexamples?\b|\bfor example\b"
ANNOTATION = r"<<[^<>]{1,200}>>"  # sums that GSM8K writes into its answers, and others leave out of them
LABEL = r"(?i)^\s*(question|q|instruction|query|problem)\s*:|\b(answer|a)\s*:\s*$"  # around a question, not part of it
# The question that is answered last, in a text that has its answer below it, or other questions with theirs above it.
LAST_QUESTION = r"(?is).*(?:^|\n)\s*(?:question|q|instruction|query|problem)\s*:(.+?)\n\s*(?:answer|a)\s*:"
TEMPLATE_SHARE, TEMPLATE_ITEMS = 0.5, 3  # of a file's items, and at least so many, that are begun with the same text


class EvalText(NamedTuple):
    """One text of an item that no training row should contain."""

    file: str  # name of the eval file
    item: int  # position of the record in it
    text: str
    role: str  # prompt: what the model is asked first; turn: what is asked later; gist: code in words; answer


class EvalSet(NamedTuple):
    """What rows are checked against."""

    files: list[EvalFile]
    texts: list[EvalText]


def read_eval_set(evals: Sequence[SourceFile]) -> EvalSet:
    """The files, and the texts of every item of them, in order.

    Raises DataError, naming file and record, for a record that cannot be read or has no text to compare: an item
    that is not checked would pass for clean.
    """
    files, texts = [], list[EvalText]()
    for file in evals:
        skipped = why_skipped(file)
        found = [] if skipped else _without_template(list(_texts_of_file(file)))
        files.append(EvalFile(file.name, file.sha256, len({text.item for text in found}), skipped))
        texts += found
    if not texts:
        raise DataError("evals: the folder holds no file with records; give the evaluation files, or leave evals out")
    return EvalSet(files, texts)


def _without_template(texts: list[EvalText]) -> list[EvalText]:
    """The texts of a file but for a prompt that most items share with each other, as each has one of its own beside it."""
    prompts = {(text.item, text.text) for text in texts if text.role == "prompt"}
    items, holders = len({text.item for text in texts}), Counter(text for _, text in prompts)
    shared = {text for text, count in holders.items() if count >= max(TEMPLATE_ITEMS, TEMPLATE_SHARE * items)}
    asked = {item for item, text in prompts if text not in shared}
    return [text for text in texts if text.text not in shared or text.role != "prompt" or text.item not in asked]


def _texts_of_file(file: SourceFile) -> Iterator[EvalText]:
    records = ((record.index, record.value) for record in eval_records(file))
    first = list(islice(records, 2))
    for index, value in enumerate(_members(first[0][1])) if len(first) == 1 else chain(first, records):
        found = list(texts_of(value))
        if not found:
            fields = sorted(value) if isinstance(value, Mapping) else type(value).__name__
            raise DataError(
                f"evals: record {index} of {file.name} has no text to compare; it has {fields}, and known "
                f"fields are {', '.join(sorted(PROMPT_FIELDS | ANSWER_FIELDS))}; rename a field or remove the record"
            )
        for text, role in found:
            yield EvalText(file.name, index, text, role)


def _members(record: object) -> list[object]:
    """The items in the only record of a file: the rows of a table given by its columns, or what ids of their own name."""
    if not isinstance(record, Mapping) or len(record) == 1:
        return [record]
    columns = {name: list(part.values()) if isinstance(part, Mapping) else part for name, part in record.items()}
    is_table = any(_kind(name) in PROMPT_FIELDS - DIALOGUE_FIELDS for name in columns)
    if is_table and all(isinstance(column, list) for column in columns.values()):
        rows: list[object] = [dict(zip(columns, row, strict=False)) for row in zip(*columns.values(), strict=False)]
        return rows if {len(rows)} == {len(column) for column in columns.values()} else [record]
    return list(record.values()) if all(isinstance(part, Mapping) for part in record.values()) else [record]


def texts_of(record: object) -> Iterator[tuple[str, str]]:
    """Text and role of every field that holds a question or an answer.

    In a record without a known field of a question every other string of 8 words or more counts as a prompt, or else
    the longest.
    """
    known = list(_walk(record, "text"))
    is_asked = any(role == "prompt" for _, role in known)
    for text, role in known if is_asked else _unknown(record, {text for text, _ in known}) + known:
        if stripped := re.sub(LABEL, "", text).strip():
            yield stripped, role
            if role == "answer" and (bare := re.sub(ANNOTATION, "", stripped)) != stripped:
                yield bare, role
            if role == "prompt":
                yield from _within_prompt(text, stripped)


def _within_prompt(text: str, stripped: str) -> Iterator[tuple[str, str]]:
    """What a prompt asks beside other questions and answers, and what a function to complete is said to do."""
    if (last := re.match(LAST_QUESTION, text)) and last[1].strip() not in ("", stripped):
        yield last[1].strip(), "prompt"
    if described := description_of_code(stripped):
        yield described[1], "turn"
        yield " ".join(described), "gist"


def _unknown(record: object, known: set[str]) -> list[tuple[str, str]]:
    strings = [text for text in _strings(record) if text not in known]
    long = [text for text in strings if len(text.split()) >= LEAST_WORDS_OF_UNKNOWN_FIELD]
    longest = sorted(strings, key=lambda text: -len(text.split()))[:1]
    return [(text, "prompt") for text in long or longest if len(text.split()) >= LEAST_WORDS_OF_LONGEST]


def description_of_code(prompt: str) -> tuple[str, str] | None:
    """Of a function to complete, its name in words and its text before the examples; None for any other prompt."""
    name, texts = re.findall(DEFINITION, prompt)[-1:], re.findall(DOCSTRING, prompt)[-1:]
    if not name or not texts:
        return None
    prose = re.split(EXAMPLES, texts[0][1])[0].strip()
    return (" ".join(re.split(r"_+|(?<=[a-z])(?=[A-Z])", name[0])), prose) if prose else None


def _walk(value: object, name: str, *, within_answer: bool = False) -> Iterator[tuple[str, str]]:
    kind = _kind(name)
    within_answer |= kind in ANSWER_FIELDS
    if isinstance(value, Mapping):
        for field, entry in _composed(value).items():
            if field not in CHOICE_FIELDS and not str(field).lower().startswith("system"):
                numbered = str(field).isdecimal()  # the places of a table's column
                yield from _walk(entry, name if numbered else str(field), within_answer=within_answer)
    elif isinstance(value, list | tuple):
        yield from _walk_list(value, name, within_answer)
    elif isinstance(value, str) and value.strip() and (within_answer or kind in PROMPT_FIELDS):
        yield value, "answer" if within_answer else "prompt"


def _kind(name: str) -> str:
    """What a field's name ends with: `canonical_solution` is a solution, `questions` are like a question."""
    last = "".join(re.findall(r"[a-z]+", name.lower())[-1:])
    known = PROMPT_FIELDS | ANSWER_FIELDS
    return last if last in known or last.removesuffix("s") not in known else last.removesuffix("s")


def _walk_list(entries: Sequence[object], name: str, within_answer: bool) -> Iterator[tuple[str, str]]:
    """Of a dialogue only the first question is a prompt; those after it are turns."""
    asked = False
    for entry in entries:
        for text, role in _walk(entry, name, within_answer=within_answer):
            yield text, "turn" if asked and role == "prompt" else role
            asked |= role == "prompt" and name in DIALOGUE_FIELDS


def _composed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its texts put together as a model is asked: instruction with input, question with choices."""
    fields: dict[str, Any] = {name: _as_list(name, value) for name, value in record.items()}
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
        numbers = [fields[name] for name in CORRECT_FIELDS if isinstance(fields.get(name), int)]
        fields["correct_answer"] = [str(choices[number]) for number in numbers[:1] if 0 <= number < len(choices)]
    return fields


def _as_list(name: str, value: object) -> object:
    """Turns or choices that a table holds as text, in JSON or as Python writes a list, as a list."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    for read in (json.loads, lambda text: python_value(without_numpy(text))):
        try:
            entries = read(value.strip())
        except (RecursionError, ValueError):
            continue
        if entries and (
            name in DIALOGUE_FIELDS | CHOICE_FIELDS or all(isinstance(entry, Mapping) for entry in entries)
        ):
            return entries
    return value


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _strings(entry)
            if len(str(name).split()) >= LEAST_WORDS_OF_UNKNOWN_FIELD:  # a table without a header: its first record
                yield str(name)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _strings(entry)
