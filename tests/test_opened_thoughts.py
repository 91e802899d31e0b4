"""Templates whose prompt opens a thought that history no longer shows, as those of DeepSeek-R1 and QwQ do."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from served_oracle import assert_served
from stages.tokenize.opened_thought import opener_of, said_with_thought, without_closed_thought
from tiny_tokenizer import make_tokenizer
from tokenized_rows import chat_of, learned, reasons, row, talk, tokenize

OPENS = (
    "{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and '</think>' in c %}"
    "{% set c = c.split('</think>')[-1]STRIP %}{% endif %}{{ '<|im_start|>' + m.role + '\\n' + c + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)
THOUGHT = "<think>\nHm.\n</think>\n\nUno."
Jinja = Callable[[str], str]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def jinja(tmp_path: Path) -> Jinja:
    def write(text: str) -> str:
        (tmp_path / "made.jinja").write_text(text)
        return str(tmp_path / "made.jinja")

    return write


@pytest.mark.parametrize("strip", ["", ".lstrip('\\n')", "|trim"])
def test_a_thought_that_the_prompt_begins_is_gone_on_with(strip: str, jinja: Jinja, tokenizer: Path) -> None:
    path = jinja(OPENS.replace("STRIP", strip))
    raw = THOUGHT.removeprefix("<think>\n")  # as a server gives it that does not look for thoughts
    rows = [
        talk("one", "One?", THOUGHT),
        talk("raw", "One?", raw),
        talk("two", "One?", THOUGHT, "Two?", "<think>\n\n</think>\nDue. \n"),
    ]
    made, chat = tokenize(tokenizer, *rows, template=path), chat_of(tokenizer, template=path)
    space = " \n" if not strip or "lstrip" in strip else ""
    assert reasons(made) == {}
    assert sorted(learned(made, chat)) == [
        ("one", 0, ["Hm.\n</think>\n\nUno.<|im_end|>"]),
        ("raw", 0, ["Hm.\n</think>\n\nUno.<|im_end|>"]),
        ("two", 0, ["Hm.\n</think>\n\nUno.<|im_end|>"]),
        ("two", 1, [f"\n</think>\nDue.{space}<|im_end|>"]),
    ]
    assert set(made.examples["form"]) == {"unrolled"}
    assert_served(made, rows, chat)


# DeepSeek-V3.1's and NVIDIA's way: where a thought was, history has an empty one, or only its end.
@pytest.mark.parametrize("left", ["</think>", "<think></think>", "<think>\\n\\n</think>"])
def test_history_may_show_that_there_was_a_thought(left: str, jinja: Jinja, tokenizer: Path) -> None:
    thinks = "('<think>' if thinking else '</think>')"
    answer = "{{ '<|im_start|>assistant\\nLEFT' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}".replace(
        "LEFT", left
    )
    other = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    path = jinja(
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        + answer
        + "{% else %}"
        + other
        + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' + " + thinks + " }}{% endif %}"
    )
    rows = [talk("thought", "One?", "<think>Hm.</think>Uno.")]
    made, chat = tokenize(tokenizer, *rows, template=path), chat_of(tokenizer, template=path)
    assert learned(made, chat) == [("thought", 0, ["Hm.</think>Uno.<|im_end|>"])]
    assert made.examples["prompt_settings"].to_list() == ['{"thinking": true}']
    assert_served(made, rows, chat)


@pytest.mark.parametrize(
    "said",
    [
        "Uno.",
        "<think>Hm.</think>Uno.",
        "<think>\nHm.\n</think>\nSo\n</think>\nUno.",
        "<think>\n<think>\nHm.\n</think>\nUno.",
        "So: <think>\nHm.\n</think>\nUno.",
        "<think>\nHm.\n</think>\n\n",
    ],
)
def test_a_text_that_does_not_begin_as_the_prompt_ends_is_refused_with_what_to_do(
    said: str, jinja: Jinja, tokenizer: Path
) -> None:
    made = tokenize(tokenizer, talk("other", "One?", said), template=jinja(OPENS.replace("STRIP", "")))
    assert made.examples.is_empty()
    assert "the prompt opens '<think>\\n'" in made.refused["detail"][0]


# llama.cpp's way with R1 and QwQ: unless thinking is asked for, the prompt has an empty thought that history leaves out.
CLOSES = OPENS.replace("<think>\\n' }}", "<think>\\n' + ('' if enable_thinking else '</think>\\n\\n') }}").replace(
    "STRIP", ".lstrip('\\n')"
)


def test_behind_a_thought_that_the_prompt_closes_stands_the_answer(jinja: Jinja, tokenizer: Path) -> None:
    path = jinja(CLOSES)
    raw = THOUGHT.removeprefix("<think>\n")
    rows = [talk("plain", "One?", "Uno.", "Two?", "Due."), talk("thought", "One?", THOUGHT), talk("raw", "One?", raw)]
    made, chat = tokenize(tokenizer, *rows, template=path), chat_of(tokenizer, template=path)
    assert learned(made, chat) == [
        ("plain", 0, ["Uno.<|im_end|>"]),
        ("plain", 1, ["Due.<|im_end|>"]),
        ("thought", 0, ["Hm.\n</think>\n\nUno.<|im_end|>"]),
        ("raw", 0, ["Hm.\n</think>\n\nUno.<|im_end|>"]),
    ]
    assert made.examples["prompt_settings"].to_list() == [None, None, *['{"enable_thinking": true}'] * 2]
    assert_served(made, rows, chat)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages | length }}" + CLOSES,  # something else changes too
        CLOSES.replace("'\\n' + c", "'\\n' + ('Well: ' if m.role == 'assistant' else '') + c"),  # words that the prompt has not
        CLOSES.replace("</think>\\n\\n", "Hm.</think>\\n\\n"),  # a thought that is not empty
    ],
)  # fmt: skip
def test_a_prompt_that_differs_in_more_than_an_empty_thought_is_refused(
    template: str, jinja: Jinja, tokenizer: Path
) -> None:
    made = tokenize(tokenizer, talk("plain", "One?", "Uno."), template=jinja(template))
    assert reasons(made) == {"plain": "prompt_not_a_prefix"}


TAGS = re.compile("</?think>|<call>")


@pytest.mark.parametrize(
    ("content", "before"), [("Uno.", "Q<a>"), ("<think>Hm.</think>Uno.", None), ("Hm.</think>Uno.", None)]
)
def test_a_thought_of_the_row_s_own_does_not_stand_behind_one_that_is_closed(content: str, before: str | None) -> None:
    assert without_closed_thought("Q<a><think>\n\n</think>\n", TAGS, content) == before


@pytest.mark.parametrize("end", ["<think>", "<call></think>", "<think></think>So: ", "<think>Hm.</think>"])
def test_only_an_empty_thought_at_the_very_end_of_the_prompt_is_closed(end: str) -> None:
    assert without_closed_thought(f"Q{end}", TAGS, "Uno.") is None


@pytest.mark.parametrize(
    ("prompt", "opener"), [("Q<think>\n", "<think>\n"), ("Q<think>Well, ", ""), ("Q<call>", ""), ("Q</think>\n", ""), ("Q", "")]
)  # fmt: skip
def test_a_thought_is_open_where_a_tag_that_can_be_closed_ends_the_prompt(prompt: str, opener: str) -> None:
    assert opener_of(prompt, TAGS) == opener


@pytest.mark.parametrize(
    ("content", "prompt", "rendered", "shown", "said"),
    [
        ("<think>\nHm.\n</think>\n\nUno.", "Q<think>\n", "Q<think>\n\n</think>\n\nUno.;", "Uno.", "Hm.\n</think>\n\nUno.;"),
        ("<think>Hm.</think>Uno.", "Q<think>", "QUno.;", "Uno.", "Hm.</think>Uno.;"),
        ("<think>Hm.</think>Uno.", "Uno.Q<think>", "Uno.Q;", "Uno.", None),  # the words of a turn before
        ("<think>Hm.</think>Uno.", "Q<think>", "QSo: Uno.;", "Uno.", None),  # words that the row has not
        ("<think>Hm.</think>Uno.", "Q<think>", "Q</think></think>Uno.;", "Uno.", None),
        ("<think>Hm.</think>Uno.", "Q<think>", "R</think>Uno.;", "Uno.", None),
        ("<think>Hm.</think>So, Uno.", "Q<think>", "QUno.;", "Uno.", None),  # a word of the row is gone
        ("<think>Hm.</think>u", "Q<think>", "QU;", "U", None),  # or changed
        ("<think>Hm.<call>Uno.", "Q<think>", "QUno.;", "Uno.", None),
    ],
)  # fmt: skip
def test_text_and_template_have_to_fit_together_to_the_letter(
    content: str, prompt: str, rendered: str, shown: str, said: str | None
) -> None:
    start = rendered.index(shown)
    found = said_with_thought(content, prompt, rendered, (start, start + len(shown)), TAGS)
    assert (found and (found.text, found.text[found.behind :])) == (said and (said, ";"))


def test_reasoning_that_the_template_leaves_out_is_refused(jinja: Jinja, tokenizer: Path) -> None:
    turns = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Uno.", "reasoning_content": "Hm."}]
    made = tokenize(tokenizer, row("r", turns), template=jinja(OPENS.replace("STRIP", "")))
    assert set(reasons(made)) == {"r"}


def test_a_template_that_changes_what_stands_before_the_answer_is_refused(jinja: Jinja, tokenizer: Path) -> None:
    path = jinja("{{ messages | length }}" + OPENS.replace("STRIP", ""))
    made = tokenize(tokenizer, talk("counted", "One?", THOUGHT), template=path)
    assert reasons(made) == {"counted": "prompt_not_a_prefix"}
