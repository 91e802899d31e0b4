"""Prompt templates that make instructions of data sets for other tasks: several for each task, one chosen for each record.

A file of templates, in YAML or JSON, is a list of sets:

    - name: nli                               # the task of the conversations, and part of what is counted
      source: "snli*"                         # pattern of source or file names; left out: all
      fields: [premise, hypothesis, label]    # records that have all of these, and none null, are of this set
      choices: ["yes", "maybe", "no"]         # optional: a field that holds a number may be shown by its name
      templates:
        - prompt: "{{ premise }} Does it follow that {{ hypothesis }}?"
          response: "{{ choices[label] }}"

A .jinja file is one template, with a line of `|||` between prompt and response.
"""

import hashlib
import json
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field, ValidationError

from stages.contract import Declaration
from stages.errors import ConfigError
from stages.ingest.conversation import Conversation, Record, Rules, Turn, refuse_unusable_answer, refuse_unusable_prompt
from stages.ingest.unusable import Unusable
from stages.raw_files.source_files import SourceFile

BUILT_IN = Path(__file__).parent / "prompt_templates"
SEPARATOR = "|||"
FORM = "a YAML or JSON file is a list of {name, fields: [a, b], templates: [{prompt: '{{ a }}?', response: '{{ b }}'}]}"
ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=False)


class PromptTemplate(Declaration):
    """Jinja texts over the fields of a record; `choices` stands for the list of the set, if it has one."""

    prompt: str
    response: str


class TemplateSet(Declaration):
    """Templates for one task, and the records they are for."""

    name: str = Field(pattern=r"^[\w.-]+$")
    source: str = "*"
    fields: tuple[str, ...] = Field(min_length=1)
    choices: tuple[str, ...] = ()
    templates: tuple[PromptTemplate, ...] = Field(min_length=1)


class Choices(tuple[str, ...]):
    """Names by their number, from 0. A file of text may hold the number as text; below 0 there is no name (SNLI's -1)."""

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, str) and number.isdecimal():
            return super().__getitem__(int(number))
        if isinstance(number, int) and number < 0:
            raise IndexError(number)
        return super().__getitem__(number)


class Templates:
    """The sets that are for one file."""

    def __init__(self, path: str | None, file: SourceFile | None) -> None:
        names = (file.source, file.name) if file else ()
        self.sets = [one for one in load(path) if any(fnmatchcase(name, one.source) for name in names)] if path else []

    def set_of(self, record: Record) -> TemplateSet | None:
        """The first set whose fields the record has; None where it is for none."""
        return next((one for one in self.sets if all(record.get(name) is not None for name in one.fields)), None)


@cache
def load(path: str) -> tuple[TemplateSet, ...]:
    """The sets of a file, or of the built-in file of that name. Raises ConfigError that names what is wrong with it."""
    given = Path(path)
    if not given.is_file() and given.name == path and not given.suffix:
        given = BUILT_IN / f"{path}.yaml"
    try:
        text = given.read_text(encoding="utf-8")
        sets = [_single(text, given.stem)] if given.suffix in (".jinja", ".j2") else yaml.safe_load(text)
        made = tuple(TemplateSet.model_validate(one) for one in sets)
        for template in (template for one in made for template in one.templates):
            _compiled(template.prompt), _compiled(template.response)
        return made
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "a set"
        raise ConfigError(f"templates: {given}: {place}: {first['msg']}; {FORM}") from error
    except (OSError, ValueError, TypeError, yaml.YAMLError, jinja2.TemplateError) as error:
        built_in = ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.yaml")))
        raise ConfigError(
            f"templates: {given} cannot be used: {str(error).splitlines()[0]}; give a file, or the name of a built-in "
            f"one ({built_in}); {FORM}"
        ) from error


def _single(text: str, name: str) -> dict[str, Any]:
    prompt, _, response = text.partition(SEPARATOR)
    if not response:
        raise ValueError(f"no line of {SEPARATOR} between prompt and response")
    fields = meta.find_undeclared_variables(ENVIRONMENT.parse(text)) - {"choices"}
    return {"name": name, "fields": sorted(fields), "templates": [{"prompt": prompt, "response": response}]}


@cache
def _compiled(text: str) -> jinja2.Template:
    return ENVIRONMENT.from_string(text)


def chosen(one: TemplateSet, record: Record) -> int:
    """Which template a record gets: told by its content, so that it is the same in every run and order."""
    stated = json.dumps(record, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(stated.encode()).digest()[:8], "big") % len(one.templates)


def convert_by_template(record: Record, one: TemplateSet, number: int, rules: Rules) -> Conversation:
    """The exchange that a template makes of a record. Raises Unusable where it makes none."""
    template = one.templates[number]
    prompt, response = (_rendered(text, record, one) for text in (template.prompt, template.response))
    place = f"templates[{one.name}][{number}]"
    refuse_unusable_prompt(prompt, f"{place}.prompt", rules)
    refuse_unusable_answer(response, f"{place}.response")
    return Conversation([Turn("user", prompt), Turn("assistant", response)], task=one.name)


def _rendered(text: str, record: Record, one: TemplateSet) -> str:
    try:
        named = {"choices": Choices(one.choices)} if one.choices else {}
        return _compiled(text).render({**record, **named}).strip()
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise Unusable("template_failed", None, f"{one.name}: {error}") from error
