"""Which templates only insert texts, so that one rendering stands for many."""

import pytest

from stages.modelling.chat_template import ChatTemplate
from stages.tokenize.plain_template import is_plain

LOOP = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
ASK = "{{ '<|im_start|>assistant\\n' }}"
LOOKS = "{% for m in messages %}{% if '<think>' in m.content %}{{ '!' }}{% endif %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "plain"),
    [
        (LOOP + "{% if add_generation_prompt %}" + ASK + "{% endif %}", True),
        (LOOP + ASK, True),
        ("{% set first = messages[0]['content'] | trim %}{% for m in messages[1:] %}{{ first ~ m.content.strip() }}{% endfor %}", True),
        ("{% set ns = namespace(s='') %}{% for m in messages %}{% set ns.s = m.content or '' %}{{ ns.s }}{% endfor %}", True),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}", True),
        ("{% for m in messages %}{{ m.content if m.content is string and 'tool_calls' not in m else '' }}{% endfor %}", True),
        (LOOKS, False),
        ("{% for m in messages %}{{ m.content[:3] }}{% endfor %}", False),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", False),
        ("{% for m in messages %}{{ m.content.split('x')[-1] }}{% endfor %}", False),
        ("{% for m in messages %}{{ m | tojson }}{% endfor %}", False),
        ("{{ messages | map(attribute='content') | join }}", False),
        ("{% for m in messages %}{{ '%s' % m.content }}{% endfor %}", False),
        ("{% for m in messages %}{% for part in m.content %}{{ part }}{% endfor %}{% endfor %}", False),
        ("{% macro say(m) %}{{ m.content | length }}{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}", False),
        ("{% for m in messages %}{% set c = m.content %}{% if c == 'x' %}!{% endif %}{{ c }}{% endfor %}", False),
        ("{% for m in messages %}{% if m.content | length > 9 %}!{% endif %}{{ m.content }}{% endfor %}", False),
        ("{% for m in messages %}{% if loop.changed(m.content) %}!{% endif %}{{ m.content }}{% endfor %}", False),
        ("{% for m in messages %}{% for k in m.values() %}{{ k }}{% endfor %}{% endfor %}", False),
        ("{% set ns = namespace(m=messages) %}{{ ns.m[0].content == 'x' }}", False),
        ("{% for m in messages %}{{ {m.content: 1} }}{% endfor %}", False),
        ("{% for m in messages %}{% filter upper %}{{ m.content }}{% endfilter %}{% endfor %}", False),
        ("{% for m in messages %}{% set c %}{{ m.content }}{% endset %}{{ c }}{% endfor %}", False),
        ("{% for m in messages %}{{ (m.content ~ 'x').startswith('a') }}{% endfor %}", False),
        ("{% macro last() %}{{ messages[-1].content }}{% endmacro %}{{ last()[:9] }}", False),
        ("{% macro last(text=messages[-1].content) %}{{ text[:9] }}{% endmacro %}{{ last() }}", False),
        ("{% set ns = namespace(s='') %}{% set ns.s = messages[0].content %}{% set k = 's' %}{{ ns[k][:9] }}", False),
        ("{% set ns = namespace(s='') %}{% set also = ns %}{% set ns.s = messages[0].content %}{{ also.s[:9] }}", False),
        ("{% for m in messages %}{% set here = loop %}{{ m.content }}{{ here['previ' ~ 'tem'].content[:9] }}{% endfor %}", False),
        ("{% macro head(role) %}{{ '<|' + role + '|>' }}{% endmacro %}{% for m in messages %}{{ head(m.role) + m.content }}{% endfor %}", True),
    ],
)  # fmt: skip
def test_only_templates_that_insert_texts_are_taken_for_plain(template: str, plain: bool) -> None:
    assert is_plain(ChatTemplate(template, {}).tree) is plain
