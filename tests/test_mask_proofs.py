"""Templates made to mislead one derivation of the mask: marks in the texts tell what two renderings do not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from misleading_templates import (
    ALWAYS_ASKS,
    ASCII,
    ASK,
    ASKS_BEHIND_QUESTIONS,
    BLANK_LINE,
    CAPITALIZES,
    CHATML,
    CLOSES_LATER,
    COUNTS,
    COUNTS_AND_QUOTES,
    COUNTS_ONLY,
    CUTS,
    DROPS_SYSTEM,
    ECHOES,
    LOOP,
    NEEDS_IDS,
    NEVER_ASKS,
    OPENS_THOUGHT,
    PAIRS,
    PARTS,
    PYTHON_TOOLS,
    QUOTES_QUESTION,
    RAW_PARTS,
    REMINDS,
    REVERSES,
    SPOKEN,
    SWAPS,
    SYSTEM_BEHIND,
    SYSTEM_IN_LAST,
    SYSTEM_PARTS,
    TEXT_ARGUMENTS,
    THINKS_LATER,
    TWO_TURNS,
)
from served_oracle import assert_served
from stages.tokenize.builtin_templates import BUILTIN_TEMPLATES
from stages.tokenize.outlines import Outlines
from tiny_tokenizer import TEXTS, make_tokenizer
from tokenized_rows import WEATHER, call, chat_of, learned, reasons, row, talk, tokenize

SYSTEM = talk("r", "Hi", "No.", system="a")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"), texts=[*TEXTS, "\n\n \n\n"])


@pytest.fixture
def jinja(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "made.jinja"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("given_row", "template", "reason"),
    [
        (SYSTEM, DROPS_SYSTEM, "dropped_system"),  # an "a" stands in the text, but it is not this one
        (talk("r", "Hi", "Hi"), SWAPS, "content_changed"),  # the question's text where the answer's should be
        (talk("r", "Hi", "No."), TWO_TURNS, "no_end_token"),  # a server would stop at the first end token
        (talk("r", "Hi", "No."), NEVER_ASKS.replace("<|im_end|>", ""), "no_end_token"),
        (talk("r", "Hi", "No."), NEVER_ASKS, "header_in_answer"),
        (talk("r", "Hi", "No."), SPOKEN, "header_in_answer"),
        (
            row("r", [{"role": "system", "content": "Welcome."}, {"role": "assistant", "content": "Hi"}]),
            ASKS_BEHIND_QUESTIONS,
            "header_in_answer",
        ),
        (  # a name for the answerer that only its own prompt tells
            row("r", [{"role": "system", "content": "Welcome."}, {"role": "assistant", "content": "Hi"}]),
            ASKS_BEHIND_QUESTIONS.replace("m.role + '", "m.role.replace('assistant', 'helper') + '").replace(
                "start|>assistant", "start|>helper"
            ),
            "header_in_answer",
        ),
        (
            talk("r", "Hi", "No."),
            CHATML.replace("m.content +", "m.content + (m.content if m.role == 'assistant' else '') +"),
            "content_changed",
        ),
        (talk("r", "Hi", "No."), REVERSES, "prompt_not_a_prefix"),
        (talk("r", "Hi", "No."), QUOTES_QUESTION, "derivations_disagree"),  # the question would be learned
        (talk("r", "Hi", "No."), COUNTS_AND_QUOTES, "derivations_disagree"),
        (talk("r", "1", "No.", system="Be brief."), COUNTS_ONLY, "dropped_system"),
        (talk("r", "?!", "No."), COUNTS, "derivations_disagree"),  # nothing to tell the question by
        (
            row("r", [{"role": "system", "content": "Greet."}, {"role": "assistant", "content": "Hi"}]),
            PAIRS,
            "no_end_token",
        ),
        (
            talk("r", "Hi", "No."),
            NEVER_ASKS.replace("m.role", "{'user': 'Q', 'assistant': 'A'}[m.role]"),
            "header_in_answer",
        ),
        (
            talk("r", "Hi", "<b>No</b>, no."),
            CHATML.replace("m.content", "m.content.replace('</b>', '')"),
            "content_changed",
        ),
        (
            talk("r", "Hi", "<b>No</b>, no."),
            CHATML.replace("m.content", "m.content.replace('<b>', '<i>')"),
            "content_changed",
        ),
        (talk("r", "Hi", "No."), BLANK_LINE, "prompt_not_a_prefix"),  # line breaks of its own words are no layout
    ],
)
def test_what_only_looks_right_is_refused(
    given_row: dict[str, Any], template: str, reason: str, jinja: Any, tokenizer: Path
) -> None:
    assert reasons(tokenize(tokenizer, given_row, template=jinja(template))) == {"r": reason}


def test_text_that_a_template_writes_after_the_answer_is_never_learned(jinja: Any, tokenizer: Path) -> None:
    template = jinja(ECHOES)
    made = tokenize(tokenizer, talk("r", "Hi", "No."), template=template)
    assert learned(made, chat_of(tokenizer, template=template)) in ([], [("r", 0, ["No.<|im_end|>"])])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (ALWAYS_ASKS, ["No.<|im_end|>"]),
        (PARTS, ["No.<|im_end|>"]),
        (CAPITALIZES, ["No.<|im_end|>"]),
        (COUNTS, ["No.<|im_end|>"]),
        (CUTS, ["No.<|im_end|>"]),
        (PAIRS, ["No.<|im_end|>"]),
        (
            LOOP.replace("+ m.content", "+ ('(AI) ' if m.role == 'assistant' else '') + m.content") + ASK,
            ["(AI) No.<|im_end|>"],
        ),
    ],
)
def test_odd_prompts_are_learned_from_as_they_are_served(
    template: str, expected: list[str], jinja: Any, tokenizer: Path
) -> None:
    path = jinja(template)
    made = tokenize(tokenizer, talk("r", "Hi", "No."), template=path)
    assert learned(made, chat_of(tokenizer, template=path)) == [("r", 0, expected)]


def test_an_example_ends_where_its_last_turn_does(jinja: Any, tokenizer: Path) -> None:
    template = jinja(ALWAYS_ASKS)
    made = tokenize(tokenizer, talk("r", "Hi", "No."), template=template)
    text = chat_of(tokenizer, template=template).decode(made.examples["input_ids"][0].to_list())
    assert text.endswith("<|im_start|>assistant\nNo.<|im_end|>\n")


@pytest.mark.parametrize("switch", ["enable_thinking", "reasoning_mode"])
def test_a_prompt_that_only_fits_without_thinking_is_asked_for_so(switch: str, jinja: Any, tokenizer: Path) -> None:
    template = jinja(OPENS_THOUGHT.replace("enable_thinking", switch))
    made = tokenize(tokenizer, talk("r", "Hi", "No.", "Sure?", "Yes."), template=template)
    assert learned(made, chat_of(tokenizer, template=template)) == [("r", 0, ["No.<|im_end|>", "Yes.<|im_end|>"])]
    assert made.examples["prompt_settings"].to_list() == [f'{{"{switch}": false}}']


@pytest.mark.parametrize("rewrites", [SYSTEM_IN_LAST, SYSTEM_BEHIND, REMINDS])
def test_an_answer_behind_a_prompt_that_is_rewritten_stands_behind_the_prompt_as_served(
    rewrites: str, jinja: Any, tokenizer: Path
) -> None:
    template = jinja(rewrites)
    rows = [talk("r", "Hi ", "No.", "Sure?", " Yes.", system="Be brief.")]
    made, chat = tokenize(tokenizer, *rows, template=template), chat_of(tokenizer, template=template)
    assert learned(made, chat) == [("r", 0, ["No.<|im_end|>"]), ("r", 1, [" Yes.<|im_end|>"])]
    assert made.examples["form"].to_list() == ["unrolled", "unrolled"]
    for example, asked in zip(made.examples["input_ids"].to_list(), (2, 4), strict=True):
        prompt = chat.prompt_ids(rows[0]["messages"][:asked])
        assert example[: len(prompt)] == prompt
        assert "Be brief." in chat.decode(prompt)


def test_answers_that_are_asked_for_with_other_settings_stand_apart(jinja: Any, tokenizer: Path) -> None:
    path = jinja(THINKS_LATER)
    rows = [talk("r", "Hi", "No.", "Sure?", "Yes.")]
    made, chat = tokenize(tokenizer, *rows, template=path), chat_of(tokenizer, template=path)
    assert made.examples["prompt_settings"].to_list() == ['{"enable_thinking": false}', None]
    assert learned(made, chat) == [("r", 0, ["No.<|im_end|>"]), ("r", 1, ["Yes.<|im_end|>"])]
    assert_served(made, rows, chat)


@pytest.mark.parametrize("template", [TEXT_ARGUMENTS, NEEDS_IDS, PYTHON_TOOLS, CLOSES_LATER])
def test_calls_are_learned_in_whatever_form_the_template_writes_them(
    template: str, jinja: Any, tokenizer: Path
) -> None:
    path = jinja(template)
    made, chat = tokenize(tokenizer, WEATHER, template=path), chat_of(tokenizer, template=path)
    assert '"city"' in learned(made, chat)[0][2][0].replace("\\", "")
    assert_served(made, [WEATHER], chat)


def test_a_system_turn_that_is_read_in_parts_only_is_given_in_parts(jinja: Any, tokenizer: Path) -> None:
    path = jinja(SYSTEM_PARTS)
    made, chat = (
        tokenize(tokenizer, talk("r", "Hi", "No.", system="Be brief."), template=path),
        chat_of(tokenizer, template=path),
    )
    assert learned(made, chat) == [("r", 0, ["No.<|im_end|>"])]
    assert chat.decode(made.examples["input_ids"][0].to_list()).startswith("<|im_start|>user\nBe brief.\nHi<|im_end|>")


def test_parts_that_a_template_writes_as_they_are_do_not_pass_for_a_system_turn(jinja: Any, tokenizer: Path) -> None:
    made = tokenize(tokenizer, talk("r", "Hi", "No.", system="Be brief."), template=jinja(RAW_PARTS))
    assert set(reasons(made)) == {"r"}


def test_an_argument_may_be_written_in_ascii(jinja: Any, tokenizer: Path) -> None:
    called = {"role": "assistant", "content": "", "tool_calls": call("get_weather", city="Orléans")}
    given_row = row("r", [{"role": "user", "content": "Weather?"}, called], tools=WEATHER["tools"])
    path = jinja(ASCII)
    made = tokenize(tokenizer, given_row, template=path)
    assert "Orl\\u00e9ans" in learned(made, chat_of(tokenizer, template=path))[0][2][0]


def test_an_argument_that_a_template_leaves_out_refuses_the_call(jinja: Any, tokenizer: Path) -> None:
    template = CHATML.replace("m.content +", "m.content + (m.tool_calls[0].function.name if m.tool_calls else '') +")
    given_row = row(
        "r", [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "", "tool_calls": call("add")}]
    )
    told = row("s", [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "", "tool_calls": call("add", a="one")}])  # fmt: skip
    made = tokenize(tokenizer, given_row, told, template=jinja(template))
    assert reasons(made) == {"s": "dropped_tool_call"}


CALLS = "(m.tool_calls[0].function.name + {} if m.tool_calls else '')"


@pytest.mark.parametrize("arguments", ["''", "(m.tool_calls[0].function.arguments | tojson if loop.last else '')"])
def test_an_argument_that_only_the_question_shows_refuses_the_call(arguments: str, jinja: Any, tokenizer: Path) -> None:
    """In the answer itself, and in the past of a later one."""
    template = "{{ tools | tojson }}" + CHATML.replace("m.content +", f"m.content + {CALLS.format(arguments)} +")
    called = {"role": "assistant", "content": "", "tool_calls": call("get_weather", city="Paris", unit="K")}
    asked = {"role": "user", "content": "Weather in Paris, city, in K, the unit?"}
    later = [{"role": "tool", "content": "3"}, {"role": "assistant", "content": "It is 3 K."}]
    hidden = row("r", [{**asked, "content": "Weather?"}, called, *later], tools=WEATHER["tools"])
    shown = row("s", [asked, called], tools=WEATHER["tools"])
    made = tokenize(tokenizer, hidden, shown, template=jinja(template))
    assert reasons(made) == dict.fromkeys("rs" if arguments == "''" else "r", "dropped_tool_call")


def test_answers_with_nothing_between_them_stand_apart(jinja: Any, tokenizer: Path) -> None:
    path = jinja(
        "{% for m in messages %}{{ m.content + ('<|im_end|>' if m.role == 'assistant' else '?') }}{% endfor %}"
    )
    turns = [("user", "Hi"), ("assistant", "Hello."), ("assistant", "And welcome.")]
    given_row = row("two", [{"role": role, "content": content} for role, content in turns])
    made = tokenize(tokenizer, given_row, template=path)
    assert learned(made, chat_of(tokenizer, template=path)) == [
        ("two", 0, ["Hello.<|im_end|>"]),
        ("two", 1, ["And welcome.<|im_end|>"]),
    ]


texts = st.text(st.sampled_from("aé \n\t😀<|>{}#"), max_size=6) | st.sampled_from(["Hi", " Hi\n", "\x0b", "<|im_end|>"])
turns = st.lists(texts, min_size=1, max_size=5).map(lambda made: [*made, "x"] if len(made) % 2 else made)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(turns, min_size=1, max_size=5),
    system=st.none() | texts,
    template=st.sampled_from([*BUILTIN_TEMPLATES, SYSTEM_IN_LAST, ALWAYS_ASKS, DROPS_SYSTEM]),
)
def test_a_turn_that_is_filled_in_is_the_turn_that_is_rendered(
    rows: list[list[str]], system: str | None, template: str, jinja: Any, tokenizer: Path
) -> None:
    name = template if template in BUILTIN_TEMPLATES else jinja(template)
    talks = [talk(f"row {place}", *said, system=system) for place, said in enumerate(rows)]
    filled_in = tokenize(tokenizer, *talks, template=name)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Outlines, "turn", lambda *_: None)
        rendered = tokenize(tokenizer, *talks, template=name)
    assert filled_in.examples.equals(rendered.examples)
    assert filled_in.refused.equals(rendered.refused)
