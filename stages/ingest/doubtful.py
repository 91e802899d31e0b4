"""What stands beside a prompt and its answer and leaves open what was meant: other prompts and answers, choices that are
not shown. Such a record is set aside: whatever is made of it would be a guess."""

import re
from collections.abc import Iterator, Mapping, Sequence

from stages.ingest.conversation import Record, is_blank
from stages.ingest.spellings import plain
from stages.ingest.unusable import Unusable

LABEL = re.compile(r"\s*[(\[]?(?:[A-Ja-j]|\d{1,2})[)\].:]?\s*")
OPTION = re.compile(r"[a-j]|op[a-j]|(?:option|choice)_?(?:[a-j]|\d)")
REASONS = {"prompt": "several_prompts", "response": "several_answers"}


def refuse_rivals(record: Record, fields: Mapping[str, str], rivals: Mapping[str, Sequence[str]]) -> None:
    """Raises Unusable where another field may as well be the prompt, or the answer: the two are fields of equal standing,
    and neither text holds the other."""
    for meaning, names in rivals.items():
        taken = record[fields[meaning]]
        for name in names:
            other = record[name]
            if not isinstance(taken, str) or not isinstance(other, str) or is_blank(taken) or is_blank(other):
                continue
            if other.strip() not in taken and taken.strip() not in other:
                raise Unusable(REASONS[meaning], name, other)


def refuse_label(record: Record, fields: Mapping[str, str]) -> None:
    """Raises Unusable for an answer that only names one of some choices that the prompt does not show."""
    answer, prompt = record[fields["response"]], record[fields["prompt"]]
    is_label = isinstance(answer, str) and LABEL.fullmatch(answer)
    if "options" not in fields or not is_label or not isinstance(prompt, str):
        return
    choices = list(_choices(record, fields["options"]))
    if len(choices) > 1 and answer.strip() not in choices and not all(choice in prompt for choice in choices):
        raise Unusable("choices_not_shown", fields["response"], answer)


def _choices(record: Record, field: str) -> Iterator[str]:
    """The texts to choose from: in a list, in an object by their labels, or in a column for each."""
    match record[field]:
        case {"text": list() as texts} | list(texts):
            yield from (text for text in texts if isinstance(text, str))
        case dict(by_label):
            yield from (text for text in by_label.values() if isinstance(text, str))
        case str():
            columns = (value for name, value in record.items() if OPTION.fullmatch(plain(name)))
            yield from (text for text in columns if isinstance(text, str) and not is_blank(text))
