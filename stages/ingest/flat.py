"""Dialects with a prompt and an answer in fields of their own: Alpaca, Dolly, question and answer, seeds, and the like."""

import math
import re
from collections.abc import Mapping

from stages.ingest.conversation import (
    NO_VALUE,
    Conversation,
    Record,
    Rules,
    Turn,
    checked_turns,
    is_blank,
    refuse_unusable_answer,
    refuse_unusable_prompt,
    text_of,
    value_of,
)
from stages.ingest.rendered import without_end
from stages.ingest.spellings import contexts_in, plain, systems_in
from stages.ingest.stage import LICENCE_REMOVED, Repair
from stages.ingest.tool_calls import calls_in, parsed, tools_text
from stages.ingest.transcripts import transcript
from stages.ingest.unusable import Unusable
from stages.raw_files.repair_names import PYTHON_READ
from stages.raw_files.text_records import Document, Trimmed, without_licence

# The two prompts of github.com/tatsu-lab/stanford_alpaca train.py, as many exports carry them inside their prompts.
PREAMBLE = re.compile(
    r"\s*Below is an instruction that describes a task(?:, paired with an input that provides further context)?\."
    r"\s*Write a response that appropriately completes the request\.\s*"
    r"### Instruction:\s*(?P<instruction>.*?)\s*(?:### Input:\s*(?P<input>.*?)\s*)?### Response:\s*",
    re.DOTALL,
)
PREAMBLE_START = "Below is an instruction"
# An empty input written in words, as Alpaca's generator did.
PLACEHOLDER_INPUT = re.compile(rf"\s*(<\s*no\s?input\s*>|no\s?input\.?|n/a|none|{NO_VALUE})\s*", re.IGNORECASE)
LONGEST_PLACEHOLDER = 16
SWITCHES = {"on", "off", "true", "false", "yes", "no"}
# Where a table of texts may hold a list: in a column whose name says so.
LISTS_OF_ANSWERS = ("answers", "responses", "completions", "outputs")
LIST_OF_TEXTS = re.compile(r"""\s*+\[\s*+(?:["'].*["']\s*+)?\]\s*+""", re.DOTALL)
MAX_WEIGHT = 1_000.0  # a row that counts for more drowns its batch: such a column measures something else


def convert_pair(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """One exchange, after the system turn and the earlier exchanges that the record may have."""
    repairs: list[Repair] = []
    question = asked(record, fields, rules, repairs)
    refuse_unusable_prompt(question, fields["prompt"], rules)
    tools = tools_text(record.get(fields["tools"]), fields["tools"]) if "tools" in fields else None
    if (answers := _listed(record[fields["response"]], fields["response"], rules, repairs)) is not None:
        record = {**record, fields["response"]: answers}
    last = _answered(record, fields, tools)
    turns = [Turn("user", question), last]
    opened = transcript(question) if "transcript_split" in rules.allowed else []
    if opened and opened[-1] == Turn("assistant", ""):
        turns = [*opened[:-1], last._replace(content=without_end(last.content))]
        repairs.append("transcript_split")
    if opened or "history" in fields or "system" in fields:
        turns = _earlier_turns(record, fields) + turns
        turns, more = checked_turns(turns, lambda _: fields.get("history", fields["prompt"]), rules)
        repairs.extend(more)
    return [Conversation(turns, tools, task=task_of(record, fields), repairs=tuple(repairs))]


def _answered(record: Record, fields: Mapping[str, str], tools: str | None) -> Turn:
    """The answer: a text, or calls of the tools on offer."""
    field = fields["response"]
    if record.get(field) is None:
        raise Unusable("empty_answer", field, None)
    reasoning = reasoning_beside(record, fields)
    if tools and (calls := calls_in(record[field], tools, field)):
        return Turn("assistant", "", reasoning, calls)
    answer = text_of({field: only(record[field], field, "several_answers")}, field)
    refuse_unusable_answer(answer, field)
    return Turn("assistant", answer, None if reasoning and reasoning.strip() in answer else reasoning)


def _listed(value: object, field: str, rules: Rules, repairs: list[Repair]) -> list[object] | None:
    """The answers that a table of texts holds in one cell, as JSON or as Python or NumPy writes a list of texts."""
    if not isinstance(value, str) or plain(field) not in LISTS_OF_ANSWERS or not LIST_OF_TEXTS.fullmatch(value):
        return None
    noted: list[Repair] = []
    try:
        answers = parsed(value, "not_text", field, noted if PYTHON_READ in rules.allowed else None)
    except Unusable:
        return None
    if noted and str(answers) != value.strip():
        raise Unusable("several_answers", field, value)  # NumPy leaves the commas out, and Python joins what they part
    repairs.extend(noted)
    return answers if isinstance(answers, list) else None


def reasoning_beside(record: Record, fields: Mapping[str, str]) -> str | None:
    """What was thought before the answer; a field of that name may also say whether there was any (Nemotron's `on`)."""
    value = value_of(record, fields, "reasoning")
    is_setting = isinstance(value, dict) and not {"effort", "type"}.isdisjoint(value)
    if value is None or isinstance(value, bool | int | float) or is_setting:
        return None
    text = passages_of(record, fields["reasoning"])
    return None if is_blank(text) or text.strip().lower() in SWITCHES else text


def asked(record: Record, fields: Mapping[str, str], rules: Rules, repairs: list[Repair]) -> str:
    """The prompt with its contexts below it; notes in `repairs` what was done to it."""
    prompt = text_of(record, fields["prompt"])
    if PREAMBLE_START in prompt and "preamble_removed" in rules.allowed and (match := PREAMBLE.fullmatch(prompt)):
        prompt = "\n\n".join(part for part in (match["instruction"], match["input"]) if part)
        repairs.append("preamble_removed")
    parts = [prompt]
    for field in contexts_in(fields):
        context = passages_of(record, field)
        if is_blank(context) or context in parts:
            continue
        if is_placeholder(context) and "placeholder_input_removed" in rules.allowed:
            repairs.append("placeholder_input_removed")
            continue
        parts.append(context)
    if len(parts) > 1:
        refuse_unusable_prompt(prompt, fields["prompt"], rules)
    return "\n\n".join(parts)


def passages_of(record: Record, field: str) -> str:
    """A text, or the passages that were found for the prompt one below the other, each with its title if it has one."""
    passages = record.get(field)
    if isinstance(passages, list):
        texts = [_passage(passage) for passage in passages]
        if all(isinstance(text, str) for text in texts):
            return "\n\n".join(filter(None, texts))
    return text_of(record, field)


def _passage(passage: object) -> str | None:
    match passage:
        case str():
            return passage
        case {"title": str(title), "text": str(text)} | {"title": str(title), "contents": str(text)} if title:
            return f"{title}\n{text}"
        case {"text": str(text)} | {"contents": str(text)} | {"content": str(text)}:
            return text
    return None


def is_placeholder(context: str) -> bool:
    return len(context) <= LONGEST_PLACEHOLDER and PLACEHOLDER_INPUT.fullmatch(context) is not None


def _earlier_turns(record: Record, fields: Mapping[str, str]) -> list[Turn]:
    """The system turn and the exchanges of `history`, a list of [question, answer]."""
    systems = dict.fromkeys(text_of(record, field) for field in systems_in(fields))
    turns = [Turn("system", text) for text in systems if text]
    history = history_of(record, fields)
    for number, exchange in enumerate(history):
        if not (isinstance(exchange, list) and len(exchange) == 2 and all(isinstance(text, str) for text in exchange)):
            raise Unusable("not_a_turn", f"{fields['history']}[{number}]", exchange)
        turns += [Turn("user", exchange[0]), Turn("assistant", exchange[1])]
    return turns


def history_of(record: Record, fields: Mapping[str, str]) -> list[object]:
    """What was said before, which a table may hold as JSON text."""
    history = parsed(value_of(record, fields, "history"), "not_a_turn", fields.get("history", ""))
    if not isinstance(history, list | None):
        raise Unusable("not_a_turn", fields["history"], history)
    return history or []


def task_of(record: Record, fields: Mapping[str, str]) -> str | None:
    """The task label that the source gives, if it is a text."""
    task = record.get(fields["task"]) if "task" in fields else None
    return task.encode("utf-8", "backslashreplace").decode() if isinstance(task, str) and task else None


def weight_of(record: Record, field: str | None) -> float | None:
    """What the source says that each token of the record weighs in the loss, a number that may be written out; None
    where it says nothing. Raises Unusable for what is no weight."""
    value = record.get(field) if field is not None else None
    if value is None or (isinstance(value, str) and is_blank(value)):
        return None
    try:
        weight = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        weight = math.nan
    if not 0 <= weight <= MAX_WEIGHT:
        raise Unusable("bad_weight", field, value)
    return weight


def rows_of_columns(record: Record, fields: Mapping[str, str]) -> list[tuple[Record, Mapping[str, str]]]:
    """The rows of a table that is written as one object, a list for each column, and the names of each row's fields.

    As pandas writes it, a column may also be an object with the numbers of the rows. Nothing where the columns do not
    have the same rows, or may be the exchanges of one chat: their names stand in the plural (CoQA).
    """
    columns = {field: record[field] for field in fields.values() if record[field] is not None}
    main = [fields[name] for name in ("prompt", "response")]
    if len({_rows_of(column) for column in columns.values()} | {_rows_of(record[field]) for field in main}) > 1:
        return []
    if any(field.strip().lower().endswith("s") for field in main):
        return []
    rows: list[tuple[Record, Mapping[str, str]]] = []
    for number, row in enumerate(_rows_of(record[main[0]]) or ()):
        names = {meaning: f"{field}[{number}]" for meaning, field in fields.items() if field in columns}
        rows.append(({f"{field}[{number}]": column[row] for field, column in columns.items()}, names))
    return rows


def _rows_of(column: object) -> tuple[int | str, ...] | None:
    """What the rows of a column are called; None for what is no column."""
    if isinstance(column, dict) and all(name.isdecimal() for name in column):
        return tuple(column)
    return tuple(range(len(column))) if isinstance(column, list) else None


def convert_seed(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """Self-instruct's seed tasks, and the tasks of Natural Instructions: one conversation for each instance of the instruction."""
    instances = record[fields["instances"]]
    if not isinstance(instances, list) or not instances:
        raise Unusable("no_turns", fields["instances"], instances)
    found: list[Conversation | Unusable] = []
    for number, instance in enumerate(instances):
        where = f"{fields['instances']}[{number}]"
        try:
            if not isinstance(instance, dict):
                raise Unusable("not_an_object", where, instance)
            input_field, output_field = f"{where}.input", f"{where}.output"
            pair = {
                fields["prompt"]: only(record[fields["prompt"]], fields["prompt"], "several_prompts"),
                input_field: instance.get("input"),
                output_field: only(instance.get("output"), output_field, "several_answers"),
            }
            names = {"prompt": fields["prompt"], "context": input_field, "response": output_field}
            found += convert_pair(pair, names, rules)
        except Unusable as unusable:
            found.append(unusable)
    return found


def only(value: object, field: str, if_several: str) -> object:
    """The one of a list, as Natural Instructions writes definitions and outputs. Raises Unusable with that reason."""
    if not isinstance(value, list) or not value:
        return value
    if len(value) > 1:
        raise Unusable(if_several, field, value)
    return value[0]


def convert_choice(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """A question whose answer is the right one of its choices."""
    choices, gold = record[fields["choices"]], record[fields["gold"]]
    if not isinstance(choices, list) or not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise Unusable("invalid_choice", fields["gold"], gold)
    pair = {**record, fields["choices"]: choices[gold]}
    return convert_pair(pair, {"prompt": fields["prompt"], "response": fields["choices"]}, rules)


def convert_benchmark(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """User turns in one list and, where there are any, the reference answers in another."""
    asked, answered = record[fields["asked"]], record.get(fields["reference"]) if "reference" in fields else None
    if not isinstance(asked, list) or not isinstance(answered, list) or len(asked) != len(answered):
        raise Unusable("no_answer", fields.get("reference", fields["asked"]), answered)
    turns: list[Turn] = []
    for number, texts in enumerate(zip(asked, answered, strict=True)):
        for role, text in zip(("user", "assistant"), texts, strict=True):
            if not isinstance(text, str):
                raise Unusable("not_text", f"{fields['asked']}[{number}]", text)
            turns.append(Turn(role, text))
    turns, repairs = checked_turns(turns, lambda number: f"{fields['asked']}[{number // 2}]", rules)
    return [Conversation(turns, task=task_of(record, fields), repairs=repairs)]


def convert_document(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """A plain document for continued pretraining; one that is an Alpaca prompt with its answer becomes that exchange, and
    one that is a chat written down that chat: in a file of plain text, whose documents are cut anywhere, none is."""
    field = fields["text"]
    text = text_of(record, field)
    if text.startswith(PREAMBLE_START) and "preamble_removed" in rules.allowed and (match := PREAMBLE.match(text)):
        pair = {**record, field: match[0], f"{field}.response": without_end(text[match.end() :])}
        return convert_pair(pair, {**fields, "prompt": field, "response": f"{field}.response"}, rules)
    is_document = isinstance(text, Document) or "transcript_split" not in rules.allowed
    if turns := [] if is_document else transcript(text):
        turns, more = checked_turns(turns, lambda _: field, rules)
        return [Conversation(turns, task=task_of(record, fields), repairs=("transcript_split", *more))]
    if is_blank(text):
        raise Unusable("empty_text", field, text)
    repairs: tuple[Repair, ...] = (LICENCE_REMOVED,) if isinstance(text, Trimmed) else ()
    if LICENCE_REMOVED in rules.allowed and (book := without_licence(text)):
        text, repairs = book, (LICENCE_REMOVED,)
    return [Conversation([Turn("text", str(text))], task=task_of(record, fields), repairs=repairs)]
