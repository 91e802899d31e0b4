"""Data sets for other tasks -> instructions, through prompt templates of which each record gets one."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest_run import ingest, ingest_records
from stages.errors import ConfigError
from stages.ingest.templates import BUILT_IN, load

NLI = """
- name: nli
  source: data*
  fields: [premise, hypothesis, label]
  choices: ["yes", "perhaps", "no"]
  templates:
    - {prompt: "{{ premise }} So {{ hypothesis }}?", response: "{{ choices[label] }}"}
    - {prompt: "Given {{ premise }}, is it so that {{ hypothesis }}?", response: "{{ choices[label] }}"}
    - {prompt: "{{ hypothesis }} since {{ premise }}?", response: "{{ choices[label] | upper }}"}
"""
ROWS = [{"premise": f"It rains {n}.", "hypothesis": "it is wet", "label": n % 3, "idx": n} for n in range(60)]


@pytest.fixture
def nli(tmp_path: Path) -> str:
    path = tmp_path / "nli.yaml"
    path.write_text(NLI)
    return str(path)


def test_each_record_gets_one_of_its_sets_templates_whatever_the_order(tmp_path: Path, nli: str) -> None:
    made = ingest_records(ROWS, tmp_path / _made(tmp_path, "a"), templates=nli)
    other = ingest_records(ROWS[::-1], tmp_path / _made(tmp_path, "b"), templates=nli)
    assert sorted(made.conversations["content_id"]) == sorted(other.conversations["content_id"])
    used = {name: count for name, count in made.facts["dialects"].items() if name.startswith("template")}
    assert set(used) == {"template nli 0", "template nli 1", "template nli 2"}
    assert all(count > 8 for count in used.values())
    assert set(made.conversations["task"]) == {"nli"}
    assert {turns[1][1] for turns in made.turns} == {"yes", "perhaps", "no", "YES", "PERHAPS", "NO"}
    assert all("it is wet" in turns[0][1] for turns in made.turns)


def _made(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    return name


def test_records_and_sources_that_no_set_is_for_are_told_by_their_fields(tmp_path: Path, nli: str) -> None:
    (tmp_path / "other.jsonl").write_text(json.dumps({"instruction": "q", "output": "a"}) + "\n" + json.dumps(ROWS[0]))
    made = ingest(tmp_path / "other.jsonl", folder=tmp_path, templates=nli)
    assert made.turns == [[("user", "q"), ("assistant", "a")]]
    assert made.faults == [(1, "unknown_dialect", None)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": 7}, "template_failed"),
        ({"label": "x"}, "template_failed"),
        ({"label": -1}, "template_failed"),
        ({"label": None}, "unknown_dialect"),
        ({"premise": "see {{ name }}"}, "unfilled_placeholder"),
        ({"premise": "{{ 7 * 7 }}", "hypothesis": "\0"}, "nul_character"),
    ],
)
def test_a_record_that_a_template_cannot_show_is_set_aside(
    change: dict[str, Any], reason: str, tmp_path: Path, nli: str
) -> None:
    made = ingest_records([{**ROWS[0], **change}], tmp_path, templates=nli)
    assert [fault[1] for fault in made.faults] == [reason]


def test_rows_of_templates_weigh_what_their_record_says_unless_that_is_data(tmp_path: Path) -> None:
    path = tmp_path / "body.yaml"
    path.write_text("- {name: a, fields: [x], templates: [{prompt: 'x', response: '{{ x }}'}]}\n"
                    "- {name: b, fields: [y, weight], templates: [{prompt: 'kg', response: '{{ weight }}'}]}\n")  # fmt: skip
    rows = [{"x": "1", "Weight": 0.5}, {"x": "1"}, {"y": "2", "weight": 72}, {"x": "1", "weight": "72 kg"}]
    made = ingest_records(rows, tmp_path, templates=str(path))
    assert made.conversations["weight"].to_list() == [0.5, None, None]
    assert made.faults == [(4, "bad_weight", "weight")]


def test_a_jinja_file_is_one_template_and_needs_the_fields_it_names(tmp_path: Path) -> None:
    path = tmp_path / "sum.jinja"
    path.write_text("Add {{ a }} and {{ b }}.\n|||\n{{ a + b }}\n")
    made = ingest_records([{"a": 1, "b": 2}, {"a": 1}], tmp_path, templates=str(path))
    assert made.turns == [[("user", "Add 1 and 2."), ("assistant", "3")]]
    assert made.faults == [(2, "unknown_dialect", None)]


@pytest.mark.parametrize(
    "text", ["- name: x", "- {name: x, fields: [a], templates: [{prompt: '{{', response: b}]}", "7", "[", ": :"]
)
def test_a_file_that_holds_no_templates_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="templates"):
        ingest_records([], tmp_path, templates=str(path))


def test_a_template_reaches_nothing_but_the_record(tmp_path: Path) -> None:
    path = tmp_path / "evil.jinja"
    path.write_text("{{ a.__class__.__mro__[1].__subclasses__() }}|||{{ a }}")
    made = ingest_records([{"a": "x"}], tmp_path, templates=str(path))
    assert [fault[1] for fault in made.faults] == ["template_failed"]


SAMPLES: dict[str, dict[str, Any]] = {
    "natural_language_inference": {"premise": "p", "hypothesis": "h", "label": 2},
    "reading_comprehension": {"context": "c", "question": "q", "answers": {"text": ["a"], "answer_start": [0]}},
    "boolean_questions": {"passage": "p", "question": "q", "answer": True},
    "paraphrase": {"sentence1": "s", "sentence2": "t", "label": 1},
    "summarization": {"article": "long", "highlights": "short"},
    "translation": {"translation": {"en": "dog", "de": "Hund"}},
    "multiple_choice": {"question": "q", "choices": ["a", "b", "c", "d"], "answer": 1},
    "sentence_completion": {"ctx": "c", "endings": ["a", "b", "c", "d"], "label": "1"},
    "physical_commonsense": {"goal": "g", "sol1": "a", "sol2": "b", "label": 1},
    "pronoun_resolution": {"sentence": "_ s", "option1": "a", "option2": "b", "answer": "2"},
}


@pytest.mark.parametrize("task", SAMPLES)
def test_built_in_templates_make_several_instructions_of_a_task(task: str, tmp_path: Path) -> None:
    records = [{**SAMPLES[task], "id": n} for n in range(40)]
    made = ingest_records(records, tmp_path, templates="nlp")
    assert made.faults == []
    assert set(made.conversations["task"]) == {task}
    assert made.conversations["content_id"].n_unique() >= 2


@pytest.mark.parametrize(("task", "field", "value", "expected"), [
    ("natural_language_inference", "label", -1, None),  # SNLI: people did not agree
    ("natural_language_inference", "label", "2", "No"),  # a CSV holds texts only
    ("boolean_questions", "answer", False, "No"),
    ("boolean_questions", "answer", "True", "Yes"),
    ("boolean_questions", "answer", "perhaps", None),
    ("summarization", "dialogue", "Hi", "short"),
    ("multiple_choice", "answer", -1, None),
    ("multiple_choice", "answer", 9, None),
    ("sentence_completion", "label", "", None),
    ("physical_commonsense", "label", -1, None),
    ("pronoun_resolution", "answer", "", None),
])  # fmt: skip
def test_a_label_names_its_answer_or_none(
    task: str, field: str, value: object, expected: str | None, tmp_path: Path
) -> None:
    made = ingest_records([SAMPLES[task] | {field: value}], tmp_path, templates="nlp")
    assert [turns[1][1] for turns in made.turns] == ([expected] if expected else [])
    assert [fault[1] for fault in made.faults] == ([] if expected else ["template_failed"])


def test_a_file_that_is_not_there_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"templates: {tmp_path}/no\.yaml cannot be used: .*\(nlp\); a YAML or JSON file"
    ):
        ingest_records([], tmp_path, templates=str(tmp_path / "no.yaml"))


def test_every_built_in_file_is_sound() -> None:
    assert all(load(path.stem) for path in BUILT_IN.glob("*.yaml"))
