"""The sandbox in which a chat template from a stranger renders: Jinja as transformers sets it up for templates.

Not transformers' own: to import that takes longer than to tokenize ten thousand rows, and each worker would do so.
`tests/test_template_sandbox.py` holds the two together.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import local
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

# What a template that asks for today's date is told, always: the same rows must give the same bytes on any day.
# It is the date that Llama 3.1's own template falls back to.
TODAY = datetime(2024, 7, 26)
Span = tuple[int, int]


def compile_template(text: str) -> Template:
    """The template, in an environment of its own. Raises jinja2.TemplateSyntaxError."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": TODAY.strftime,
        "dict": _DictMaker(),
        "namespace": _StatedNamespace,
    }
    compiled = environment.from_string(text)
    # A plain dict: Jinja copies it at each rendering, and its chain of maps took half of the time.
    compiled.globals = dict(compiled.globals)
    return compiled


class GenerationBlocks(Extension):
    """`{% generation %}`, which tags what the model writes."""

    tags = {"generation"}  # noqa: RUF012 -- declared so by Jinja

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._here = local()  # a template renders in several threads at once

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Any) -> str:
        written = str(caller())
        if noting := getattr(self._here, "noting", None):
            blocks, spans = noting
            start = sum(map(len, blocks))
            spans.append((start, start + len(written)))
        return written

    @contextmanager
    def noted(self, blocks: list[str]) -> Iterator[list[Span]]:
        """From where to where each block goes of what this thread renders meanwhile; whoever renders adds it to `blocks`."""
        spans: list[Span] = []
        self._here.noting = blocks, spans
        try:
            yield spans
        finally:
            self._here.noting = None


def generation_blocks(template: Template) -> GenerationBlocks:
    """The extension of a compiled template's own environment."""
    (found,) = (one for one in template.environment.extensions.values() if isinstance(one, GenerationBlocks))
    return found


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape what means something in HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


class _DictMaker:
    """`dict` without the class, from which a template would get further than it should."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _StatedNamespace(Namespace):
    """Jinja's, less what Python keeps for itself: a template could set `__class__`."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # so that a template may have a `self` of its own
        self, *given = args
        stated = dict(*given, **kwargs)
        for name in stated:
            _refuse_private(name)
        Namespace.__init__(self, stated)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template cannot set {name!r} on a namespace; rename it")
