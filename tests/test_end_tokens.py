"""Which token ends an answer, where a template writes several behind it, or none but those that open the next turn."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, normalizers
from transformers import PreTrainedTokenizerFast

from served_oracle import assert_served
from stages.modelling.chat_template import CONTROL_LITERAL, ChatTemplate
from stages.modelling.template_messages import template_messages, template_tools
from stages.tokenize.end_token import find_end_token
from stages.tokenize.preparation import fit
from stages.tokenize.stage import TokenizeParams
from tiny_tokenizer import make_tokenizer
from tokenized_rows import WEATHER, chat_of, learned, reasons, talk, tokenize

Jinja = Callable[[str], str]
TALK = talk("r", "Hi", "No.", "Sure?", "Yes.", system="Be brief.")
ASK = "{% if add_generation_prompt %}{{ '<|turn|><|bot|>' }}{% endif %}"
TURN = "{{ '<|turn|><|' + m.role.replace('assistant', 'bot') + '|>' + m.content + '<|end_turn|>' }}"
# Command A's way: the text of an answer ends in one token, and each turn in another.
TEXT_AND_TURN = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|turn|><|bot|>' + m.content + '<|end_text|><|end_turn|>' }}"
    "{% else %}" + TURN + "{% endif %}{% endfor %}"
)
TEXTS_AND_TURNS = (
    "{% for m in messages %}" + TURN.replace("'<|end_turn|>'", "'<|end_text|><|end_turn|>'") + "{% endfor %}"
)
# Phi's way: what ends the whole text ends no turn.
END_OF_ALL = "{% for m in messages %}" + TURN + "{% endfor %}{% if not add_generation_prompt %}<|end_all|>{% endif %}"
OPENS_ONLY = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}{{ '<|assistant|>' }}"
SEPARATES = "{% for m in messages %}{{ '<|sep|>' + m.role + ': ' + m.content }}{% endfor %}{{ '<|sep|>assistant: ' }}"
# A question has no end of its own, and the next answer is always asked for.
OPENS_BEHIND_QUESTIONS = (
    "{% for m in messages %}{{ '<|turn|>' + m.role + '<|text|>' + m.content + ('<|end|>' if m.role == 'assistant' else '') }}"
    "{% endfor %}{{ '<|turn|>assistant<|text|>' }}"
)
# The template's own words stand between an answer and the token that ends its turn.
WRAPPED = (
    "{% for m in messages %}{{ '<|turn|>' + ('<|bot|>' if m.role == 'assistant' else '<|' + m.role + '|>') }}"
    "{{ m.content + '</said>\n<|end_turn|>' }}{% endfor %}"
)
# Gemma 4's way: a call ends in a token, and the turn in the one that begins the result.
TWO_BEHIND_CALL = (
    "{{ tools | tojson }}{% for m in messages %}{% if m.tool_calls %}{{ '<|turn>model\n<|call>' + m.tool_calls[0].function.name }}"
    "{{ (m.tool_calls[0].function.arguments | tojson) + '<call|><|response>' }}{% elif m.role == 'tool' %}"
    "{{ m.content + '<response|>' }}{% elif m.role == 'user' %}{{ '<|turn>user\n' + m.content + '<turn|>\n' }}{% else %}"
    "{% if messages[loop.index0 - 1].role != 'tool' %}{{ '<|turn>model\n' }}{% endif %}{{ m.content + '<turn|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt and messages[-1].role != 'tool' %}{{ '<|turn>model\n' }}{% endif %}"
)

# GLM's way: what opens the next turn ends an answer, and nothing ends the last.
OPEN_ENDS = (
    "{{ tools | tojson if tools }}{% for m in messages %}{{ '<|' + m.role.replace('tool', 'result') + '|>' + m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def jinja(tmp_path: Path) -> Jinja:
    def write(text: str) -> str:
        (tmp_path / "made.jinja").write_text(text)
        return str(tmp_path / "made.jinja")

    return write


@pytest.mark.parametrize(
    ("template", "end", "said"),
    [
        (TEXT_AND_TURN + ASK, "<|end_turn|>", "No.<|end_text|><|end_turn|>"),
        (TEXT_AND_TURN + "{{ '<|turn|><|bot|>' }}", "<|end_turn|>", "No.<|end_text|><|end_turn|>"),
        (TEXTS_AND_TURNS + ASK, "<|end_turn|>", "No.<|end_text|><|end_turn|>"),
        (END_OF_ALL + ASK, "<|end_turn|>", "No.<|end_turn|>"),
        (OPENS_BEHIND_QUESTIONS, "<|end|>", "No.<|end|>"),
        (WRAPPED + ASK, "<|end_turn|>", "No.</said>\n<|end_turn|>"),
        (WRAPPED + "{{ '<|turn|><|bot|>' }}", "<|end_turn|>", "No.</said>\n<|end_turn|>"),
    ],
)
def test_the_token_that_ends_each_turn_ends_the_answer(
    template: str, end: str, said: str, jinja: Jinja, tokenizer: Path
) -> None:
    path = jinja(template)
    made, chat = tokenize(tokenizer, TALK, template=path), chat_of(tokenizer, template=path)
    assert chat.end_token == end
    assert learned(made, chat) == [("r", 0, [said, said.replace("No.", "Yes.")])]
    if template.endswith(ASK):  # the others write more behind the last answer
        assert_served(made, [TALK], chat)


@pytest.mark.parametrize(
    ("answer", "question", "asks", "end"),
    [
        ("{{ m.content }}<|end|>", "{{ m.content }}<|end|>", "<|bot|>", "<|end|>"),
        ("{{ m.content | upper }}<|end|>", "{{ m.content }}<|end|>", "<|bot|>", None),
        ("{{ raise_exception('no') }}<|end|>", "{{ m.content }}<|end|>", "<|bot|>", None),
        ("{{ m.content }} </s>\n", "{{ m.content }}\n", "bot: ", "</s>"),
        ("{{ m.content }}[END]", "{{ m.content }}", "[bot]", "[END]"),
        ("{{ m.content }}[e~[\n", "{{ m.content }}[e~[\n", "]~b]ai\n", "[e~["),
        ("{{ m.content }} and [END]", "{{ m.content }}", "[bot]", None),
        ("{{ m.content }}###", "{{ m.content }}", "bot: ", None),
        ("{{ m.content }}<|end|>\nRated good.", "{{ m.content }}<|end|>", "<|bot|>", None),
        ("{{ m.content }}<|part|>text<|part|>.<|end|>", "{{ m.content }}<|end|>", "<|bot|>", "<|end|>"),  # Kimi K3's way
        ("{{ m.content }}<|part|>text<|end|>.", "{{ m.content }}<|end|>", "<|bot|>", None),
        ("{{ m.content }}<|endoftext|><|end|>", "{{ m.content }}<|end|>", "<|bot|>", "<|endoftext|>"),
        ("{{ m.content }}<|text|><|end|>", "{{ m.content }}<|end|>", "<|bot|>", "<|end|>"),
        ("{{ m.content }}<|text|><|end|>", "{{ m.content }}\n<|end|>", "<|bot|>", "<|end|>"),
        ("{{ m.content }}<|text|>\n<|end|>", "{{ m.content }}<|end|>", "<|bot|>", "<|text|>"),  # a server stops at the first
        ("{{ m.content }}<|text|><|end|>", "{{ m.content }}<|stop|>", "<|bot|>", "<|text|>"),
    ],
)  # fmt: skip
def test_what_ends_a_turn_is_told_by_question_and_answer(
    answer: str, question: str, asks: str, end: str | None
) -> None:
    said = "{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' %}" + answer + "{% else %}" + question + "{% endif %}"
    template = ChatTemplate("{% for m in messages %}" + said + "{% endfor %}{% if add_generation_prompt %}" + asks + "{% endif %}", {})  # fmt: skip
    assert find_end_token(template, CONTROL_LITERAL, "<|endoftext|>") == end


def test_eos_ends_the_answer_also_where_another_token_follows(jinja: Jinja, tokenizer: Path) -> None:
    path = jinja(TEXT_AND_TURN.replace("<|end_text|>", "<|endoftext|>") + ASK)
    made, chat = tokenize(tokenizer, TALK, template=path), chat_of(tokenizer, template=path)
    assert learned(made, chat) == [("r", 0, ["No.<|endoftext|>", "Yes.<|endoftext|>"])]


@pytest.mark.parametrize("template", [OPENS_ONLY, SEPARATES])
def test_a_token_that_opens_the_next_turn_ends_none(template: str, jinja: Jinja, tokenizer: Path) -> None:
    made = tokenize(tokenizer, TALK, template=jinja(template))
    assert reasons(made) == {"r": "no_end_token"}
    assert "choose a template that ends each answer in a control token" in made.refused["detail"][0]


def test_a_call_may_end_in_two_tokens_where_a_text_ends_in_another(jinja: Jinja, tokenizer: Path) -> None:
    path = jinja(TWO_BEHIND_CALL)
    made, chat = tokenize(tokenizer, WEATHER, template=path), chat_of(tokenizer, template=path)
    assert {"<|turn>", "<turn|>", "<|call>", "<call|>", "<|response>", "<response|>"} <= chat.control_tokens
    said = ['<|call>get_weather{"city": "Paris"}<call|><|response>', "It is sunny.<turn|>"]
    assert learned(made, chat) == [("weather", 0, said)]
    assert_served(made, [WEATHER], chat)


def test_no_text_is_cut_at_an_end_token_that_one_turn_in_the_middle_has_alone(tmp_path: Path) -> None:
    """Where a text begins with that token, the tokenizer writes a line break before it, and nowhere else."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(make_tokenizer(tmp_path / "tokenizer"))
    tokenizer.add_tokens([AddedToken("<|pause|>", special=True, normalized=True)], special_tokens=True)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex(r"\A<\|pause\|>\n"), "\n<|pause|>\n")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "pauses.jinja").write_text(
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
        "{{ '<|pause|>' if loop.index == 4 else '<|im_end|>' }}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    rows, template = [talk("three", "Hi", "No.", "Why?", "Well.", "So?", "Yes.")], str(tmp_path / "pauses.jinja")
    made = tokenize(tmp_path / "tokenizer", *rows, template=template)
    chat = chat_of(tmp_path / "tokenizer", template=template)
    assert [said for _, _, (said,) in learned(made, chat)] == ["No.<|im_end|>", "Well.<|pause|>", "Yes.<|im_end|>"]
    assert_served(made, rows, chat)


@pytest.mark.parametrize(
    ("stops", "reason"),
    [([0, 1, 2], None), (1, "no_end_token"), ([0, 2], "no_end_token"), (None, "no_end_token"), ([-1, 0, 9_999, "x"], "no_end_token")],
)  # fmt: skip
def test_an_answer_that_a_template_leaves_open_ends_where_the_base_model_stops(
    stops: object, reason: str | None, jinja: Jinja, tmp_path: Path
) -> None:
    folder = make_tokenizer(
        tmp_path / "glm", special_tokens=("<|endoftext|>", "<|user|>", "<|result|>", "<|assistant|>")
    )
    if stops is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    path = jinja(OPEN_ENDS)
    made, chat = tokenize(folder, WEATHER, template=path), chat_of(folder, template=path)
    assert reasons(made) == ({"weather": reason} if reason else {})
    if not reason:
        asked = chat.template.render(
            template_messages(WEATHER["messages"]), template_tools(WEATHER["tools"]), add_generation_prompt=False
        )
        assert chat.decode(made.examples["input_ids"][0].to_list()) == asked + "<|user|>"
        call = '{"name": "get_weather", "arguments": {"city": "Paris"}}<|result|>'
        assert learned(made, chat) == [("weather", 0, [call, "It is sunny.<|user|>"])]
        # Where the template writes that token behind a call itself, it is not there twice.
        ends_calls = OPEN_ENDS.replace(
            "{% endfor %}{% endfor %}", "{% endfor %}{% if m.tool_calls %}<|result|>{% endif %}{% endfor %}"
        )
        path = jinja(
            ends_calls.replace(
                "'<|' + m.role.replace('tool', 'result') + '|>'", "('<|' + m.role + '|>' if m.role != 'tool' else '')"
            )
        )
        assert learned(tokenize(folder, WEATHER, template=path), chat) == learned(made, chat)


# What ends a turn is written once another follows: before its header, or behind every text but the last.
BEFORE_HEADERS = (
    "{% for m in messages %}{{ '<|stop|>\n' if not loop.first }}{{ '<|turn|>' + m.role + '\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|stop|>\n<|turn|>assistant\n' }}{% endif %}"
)
JOINED = "{% for m in messages %}{{ m.content }}{{ eos_token if not loop.last or add_generation_prompt }}{% endfor %}"


def test_last_words_of_a_template_behind_the_end_of_the_last_turn_belong_to_none(jinja: Jinja, tokenizer: Path) -> None:
    path = jinja(
        "{% for m in messages %}" + TURN + "{% endfor %}{% if not add_generation_prompt %}The end.{% endif %}" + ASK
    )
    made, chat = tokenize(tokenizer, TALK, template=path), chat_of(tokenizer, template=path)
    assert learned(made, chat) == [("r", 0, ["No.<|end_turn|>", "Yes.<|end_turn|>"])]
    assert chat.decode(made.examples["input_ids"][0].to_list()).endswith("Yes.<|end_turn|>")


@pytest.mark.parametrize(("template", "end"), [(BEFORE_HEADERS, "<|stop|>"), (JOINED, "<|endoftext|>")])
def test_a_token_that_stands_between_turns_ends_an_answer(
    template: str, end: str, jinja: Jinja, tokenizer: Path
) -> None:
    path = jinja(template)
    made, chat = tokenize(tokenizer, TALK, template=path), chat_of(tokenizer, template=path)
    assert learned(made, chat) == [("r", 0, [f"No.{end}", f"Yes.{end}"])]
    asked = chat.template.render(TALK["messages"], add_generation_prompt=False)
    assert chat.decode(made.examples["input_ids"][0].to_list()) == asked + end
    assert fit(TokenizeParams(tokenizer=str(tokenizer), template=path)).tokenizer.eos_token == end


def test_a_token_that_the_tokenizer_does_not_call_special_may_end_an_answer(jinja: Jinja, tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(make_tokenizer(tmp_path / "tokenizer"))
    tokenizer.add_tokens([AddedToken("<end_of_turn>", special=False, normalized=False)])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    path = jinja((TEXTS_AND_TURNS + ASK).replace("<|end_text|><|end_turn|>", "<end_of_turn>"))
    made = tokenize(tmp_path / "tokenizer", TALK, talk("marked", "Say <end_of_turn>", "No."), template=path)
    assert learned(made, chat_of(tmp_path / "tokenizer", template=path)) == [
        ("r", 0, ["No.<end_of_turn>", "Yes.<end_of_turn>"])
    ]
    assert reasons(made) == {"marked": "control_token_in_text"}
