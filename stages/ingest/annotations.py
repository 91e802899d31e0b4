"""Records of annotation tools: what was shown to people (Argilla's `fields`, Label Studio's `data`), and what they wrote.

An answer that somebody wrote takes the place of the one that was shown; who wrote nothing leaves what was shown. Labels,
ratings, and what a model suggested or predicted are no answers.
"""

from collections.abc import Mapping
from typing import Any

from stages.ingest.dialects import Dialects
from stages.ingest.spellings import says_response
from stages.ingest.unusable import Unusable

Answers = dict[str, str]  # name of the question -> what one annotator wrote
DONE = (None, "submitted", "completed")  # else a draft, or discarded


def annotated(record: Mapping[str, Any], dialects: Dialects) -> list[dict[str, Any]]:
    """A record for each different answer; none for what no such tool exported. Raises Unusable where one person gave answers
    to several questions."""
    shown, written = _shown_and_written(record)
    answers = [kept for one in written if (kept := {name: text for name, text in one.items() if says_response(name)})]
    if not answers:
        return [shown] if dialects.of(shown).is_exchange and shown != record else []
    if several := next((list(one) for one in answers if len(one) > 1), None):
        raise Unusable("several_answers", "responses", ", ".join(several))
    field = dialects.of(shown).fields.get("response", "response")
    return [{**shown, field: text} for text in dict.fromkeys(text for one in answers for text in one.values())]


def _shown_and_written(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[Answers]]:
    match record:
        case {"fields": dict() as shown, "responses": dict() as by_question}:
            return shown, _by_question(by_question)
        case {"fields": dict() as shown, "responses": list() as responses}:
            return shown, [_values(one) for one in responses if isinstance(one, dict) and one.get("status") in DONE]
        case {"data": dict() as shown, "annotations": list() as made}:
            return shown, [_results(one) for one in made if isinstance(one, dict) and not one.get("was_cancelled")]
    questions = {name: value for name, value in record.items() if _are_responses(value)}
    return {name: value for name, value in record.items() if name not in questions}, _by_question(questions)


def has_responses(record: Mapping[str, Any]) -> bool:
    """Whether a field holds what annotators responded, as Argilla's tables have it."""
    return any(map(_are_responses, record.values()))


def _by_question(by_question: Mapping[str, Any]) -> list[Answers]:
    """Argilla 2: question -> [{value, user_id}]; the answers of one person belong together."""
    by_person: dict[object, Answers] = {}
    for question, responses in by_question.items():
        for number, one in enumerate(responses if isinstance(responses, list) else []):
            if isinstance(one, dict) and isinstance(one.get("value"), str) and one.get("status") in DONE:
                by_person.setdefault(str(one.get("user_id", number)), {})[question] = one["value"]
    return list(by_person.values())


def _values(response: Mapping[str, Any]) -> Answers:
    """Argilla 1: {values: {question: {value}}}."""
    values = response.get("values")
    told = values.items() if isinstance(values, dict) else ()
    return {name: one["value"] for name, one in told if isinstance(one, dict) and isinstance(one.get("value"), str)}


def _results(annotation: Mapping[str, Any]) -> Answers:
    """Label Studio: {result: [{from_name, value: {text: [lines]}}]}."""
    found: Answers = {}
    results = annotation.get("result")
    for one in results if isinstance(results, list) else []:
        match one:
            case {"from_name": str(name), "value": {"text": str(text)}}:
                found[name] = text
            case {"from_name": str(name), "value": {"text": [*texts]}} if all(isinstance(text, str) for text in texts):
                found[name] = "\n".join(texts)
    return found


def _are_responses(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and {"value", "user_id", "status"} <= one.keys() for one in value)
    )
