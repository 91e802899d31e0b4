"""Templates render in a sandbox of Temper's own: what it gives them, and refuses them, is what transformers does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import _compile_jinja_template as compile_as_transformers_does

from stages.modelling.template_sandbox import Span, compile_template, generation_blocks

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "Is 1 < 2 & 'é'?"},
    {"role": "assistant", "content": "Yes.", "tool_calls": [{"b": "<é>", "a": [1, None]}]},
]
USED = [
    "{{ messages | tojson }}{{ messages | tojson(indent=2, sort_keys=true) }}",
    "{{ messages | tojson(ensure_ascii=true, separators=(',', ':')) }}",
    "  {% for m in messages %}\n  {% if loop.first %}\n    {% continue %}\n  {% endif %}\n {{ m.content }}\n{% endfor %}\n",
    "{% for m in messages %}{{ m.role }}{% break %}{% endfor %}",
    "{% set ns = namespace(n=0, self=3) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ ns.self }}",
    "{% set ns = namespace({'n': 1}) %}{{ ns.n }}{{ ns }}",
    "{{ dict(a=1, **{'b': 2}) }}{{ dict.fromkeys('ab', 1) }}",
    "{% macro turn(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}{{ turn(messages[1]) }}",
    "{% generation %}a{% generation %}b{% endgeneration %}c{% endgeneration %}d",
    "{{ range(3) | list }}{{ lipsum is defined }}{{ cycler is defined }}{{ joiner is defined }}{{ nothing }}",
    "{{ messages[0].content.split('1')[0] }}{{ messages[0]['content'][::-1] }}{{ '%s' | format(1) }}",
    "{{ raise_exception('Roles must alternate') }}",
]
REFUSED = [
    "{{ ''.__class__.__mro__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(role='x') }}",
    "{{ dict.__class__.x }}",
    "{{ dict.mro() }}",
    "{{ namespace.__init__.x }}",
    "{% set ns = namespace(__class__=1) %}",
    "{% set ns = namespace() %}{% set ns._n = 1 %}",
    "{% set ns = namespace({'_n': 1}) %}",
    "{{ ''.format.__globals__.x }}",
    "{{ '{0.__class__.x}'.format(1) }}",
    "{{ raise_exception.__globals__.x }}",
    "{{ self._TemplateReference__context.x }}",
    "{{ cycler.__init__.__globals__.x }}",
    "{{ range(999999999) }}",
]


def outcome(template: Any) -> tuple[str, str]:
    """What it renders, or the kind of its error: of raise_exception, also the words."""
    try:
        return "text", template.render(messages=MESSAGES, add_generation_prompt=True)
    except TemplateError as error:
        return "refused", str(error) if type(error) is TemplateError else type(error).__name__
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        return "stumbled", type(error).__name__


@pytest.mark.parametrize("text", [*USED, *REFUSED])
def test_a_template_gets_what_transformers_gives_it(text: str) -> None:
    ours, theirs = (outcome(compiled(text)) for compiled in (compile_template, compile_as_transformers_does))
    assert ours == theirs
    assert (ours[0] == "text") is (text in USED[:-1])


def test_nothing_more_is_in_reach_than_transformers_puts_there() -> None:
    ours, theirs = (compiled("").environment for compiled in (compile_template, compile_as_transformers_does))
    assert ours.globals.keys() == theirs.globals.keys()
    assert ours.filters.keys() == theirs.filters.keys()
    assert ours.tests.keys() == theirs.tests.keys()
    assert type(ours).__mro__ == type(theirs).__mro__
    assert [extension.tags for extension in ours.iter_extensions()] == [e.tags for e in theirs.iter_extensions()]


@pytest.mark.parametrize("text", [text for text in USED if "generation %" in text])
def test_generation_blocks_go_from_where_to_where_transformers_says(text: str) -> None:
    ours, theirs = compile_template(text), compile_as_transformers_does(text)
    blocks, expected = list[str](), list[tuple[int, int]]()
    with theirs.environment.activate_tracker([], expected):
        theirs.render(messages=MESSAGES)
    with generation_blocks(ours).noted(blocks) as spans:
        ours.render(messages=MESSAGES)
    assert spans == expected != []


def test_what_another_thread_renders_meanwhile_is_not_noted_here() -> None:
    template, blocks = compile_template("{% generation %}{{ text }}{% endgeneration %}"), list[str]()

    def render_another() -> list[Span]:
        with generation_blocks(template).noted([]) as spans:
            template.render(text="longer")
        return spans

    with generation_blocks(template).noted(blocks) as spans, ThreadPoolExecutor(1) as pool:
        assert pool.submit(render_another).result() == [(0, 6)]
        template.render(text="own")
    assert spans == [(0, 3)]
