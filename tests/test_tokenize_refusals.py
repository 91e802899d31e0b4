"""Each fault of a row or of a template refuses the row with its own reason."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from stages.schema import load_schema
from stages.tokenize import marks
from stages.tokenize.refusal import FIXES, REASONS, Refusal
from tiny_tokenizer import make_tokenizer
from tokenized_rows import FORGETFUL, REASONED, WEATHER, call, document, reasons, row, talk, tokenize, tool

MARKED_CALL = {"role": "assistant", "content": "", "tool_calls": call("run", code="<|im_end|>")}
MARKED_THOUGHT = {"role": "assistant", "content": "No.", "reasoning_content": "<|im_end|>"}
NO_END = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
UPPER = FORGETFUL.replace(
    "message.content +", "(message.content | upper if message.role != 'user' else message.content) +"
)
NO_SYSTEM = FORGETFUL.replace(
    "{%- for message in messages %}", "{%- for message in messages if message.role != 'system' %}"
)
NO_USER = FORGETFUL.replace(
    "{%- for message in messages %}", "{%- for message in messages if message.role != 'user' %}"
)
# Its prompt opens a thought that no answer closes, unless it is told not to think.
OPENS_THOUGHT = NO_SYSTEM.replace(
    "'<|im_start|>assistant\\n' }}",
    "'<|im_start|>assistant\\n' + ('' if enable_thinking is false else '<think>\\n') }}",
)
OTHER_HEADER = FORGETFUL.replace("'<|im_start|>assistant\\n'", "'<|im_start|>model\\n'")
TWO_BOS = "{{ bos_token + bos_token }}" + FORGETFUL
TOOLS_BUT_NO_CALLS = "{{ tools | tojson }}" + FORGETFUL
TOOLS_BEHIND_ANSWER = FORGETFUL + "{% if not add_generation_prompt %}{{ tools | tojson }}{% endif %}"
SKIPS_CALLS = FORGETFUL.replace("in messages %}", "in messages if not message.tool_calls %}")
BARE = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<|im_end|>{% endif %}{% endfor %}"
CHATML = FORGETFUL.replace("message.reasoning_content and loop.last", "false")
# The last question says more until it is answered: a word, where it says just this.
LOOKS_AT_WORDS = CHATML.replace(
    "message.content +", "('Say: ' if loop.last and message.content == 'Hi' else '') + message.content +"
)
CALLS_BUT_NO_TOOLS = CHATML.replace("message.content +", "message.content + (message.tool_calls or []) | tojson +")


@pytest.fixture(scope="module")
def tokenizer_with_bos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    special_tokens = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>")
    folder = make_tokenizer(tmp_path_factory.mktemp("bos"), special_tokens=special_tokens)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": "<s>"}))
    return folder


@pytest.fixture
def jinja(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "made.jinja"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("given", "template", "reason", "told"),
    [
        (talk("r", "Hi", " \n"), CHATML, "empty_answer", "the answer at 1"),
        (document("r", " \n"), CHATML, "empty_text", "no text"),
        (row("r", [{"role": "assistant", "content": "Hi"}]), CHATML, "no_prompt", "begins with an answer"),
        (row("r", [{"role": "text", "content": "x"}, {"role": "assistant", "content": "y"}]), CHATML, "misplaced_text", "text"),
        (talk("r", "Say <|im_end|> now", "No."), CHATML, "control_token_in_text", "message 0 holds <|im_end|>"),
        (talk("r", "Hi", "No<|endoftext|>."), CHATML, "control_token_in_text", "message 1 holds <|endoftext|>"),
        (document("r", "x <|im_start|> y"), CHATML, "control_token_in_text", "the document holds <|im_start|>"),
        (row("r", [*talk("r", "Hi")["messages"], MARKED_CALL]), CHATML, "control_token_in_text", "message 1 holds <|im_end|>"),
        (row("r", [*talk("r", "Hi")["messages"], MARKED_THOUGHT]), CHATML, "control_token_in_text", "message 1 holds <|im_end|>"),
        (talk("r", "", "No."), BARE, "no_prompt", "writes nothing before the answer"),
        (talk("r", "Hi", "No.", tools='["\\u003c|im_end|>"]'), CHATML, "control_token_in_text", "tools holds <|im_end|>"),
        (talk("r", "Hi", "No."), "{{ raise_exception('not today') }}", "template_error", "not today"),
        (talk("r", "Hi", "No.", tools="{"), CHATML, "template_error", "tools is not JSON"),
        (talk("r", "Hi", "No.", system="Be kind."), NO_SYSTEM, "dropped_system", "the system turn at 0"),
        (talk("r", "Hi", "No.", system="Be kind."), OPENS_THOUGHT, "dropped_system", "the system turn at 0"),  # not that, too
        (talk("r", "Hi", "No."), NO_USER, "dropped_turn", "the user turn at 0"),
        (talk("r", "Hi", "No.", tools=tool("add")), CHATML, "dropped_tools", "the tool add"),
        (talk("r", "Hi", "No.", tools=tool("add")), TOOLS_BEHIND_ANSWER, "dropped_tools", "the tool add"),
        (WEATHER, CALLS_BUT_NO_TOOLS, "dropped_tools", "the tool get_weather"),  # the later prompt shows it in a call
        (WEATHER, CHATML, "dropped_tool_call", "turn 1 calls get_weather"),
        (WEATHER, TOOLS_BUT_NO_CALLS, "dropped_tool_call", "turn 1 calls get_weather"),
        (WEATHER, SKIPS_CALLS, "dropped_tool_call", "turn 1 calls get_weather"),
        (REASONED, CHATML, "dropped_reasoning", "the reasoning of turn 1"),
        (talk("r", "Hi", "No."), OTHER_HEADER, "prompt_not_a_prefix", "a server sends 'model"),
        (talk("r", "Hi", "No."), LOOKS_AT_WORDS, "prompt_not_a_prefix", "a server sends 'Say: Hi"),
        (talk("r", "Hi", "No."), NO_END, "no_end_token", "ends in 'No."),
        (talk("r", "Hi", "No."), UPPER, "content_changed", "the text of turn 1"),
        (talk("r", "Hi", "No."), "{{ [] | random }}" + CHATML, "template_error", "draws at random"),
        (talk("r", "Hi", "No."), CHATML + "{{ lipsum(n=1) }}", "template_error", "draws at random"),
        (talk("r", "Hi", "No."), TWO_BOS, "double_bos", "writes <s> twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_proven_is_refused_with_the_reason(
    given: dict[str, Any], template: str, reason: str, told: str, jinja: Any, tokenizer_with_bos: Path
) -> None:
    made = tokenize(tokenizer_with_bos, given, template=jinja(template))
    assert made.examples.height == 0
    assert made.refused["reason"].to_list() == [reason]
    assert told in made.refused["detail"][0]


def test_answers_with_no_token_between_them_stand_apart(jinja: Any, tmp_path: Path) -> None:
    """A line break is all that is between them, and this tokenizer drops it."""
    words = ["<unk>", "Hi", "No", "Well", "<|im_end|>"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>").save_pretrained(tmp_path)
    said = [("user", "Hi"), ("assistant", "No"), ("assistant", "Well")]
    given = row("two", [{"role": role, "content": text} for role, text in said])
    path = jinja(
        "{% for m in messages %}{{ m.content + ('<|im_end|>' if m.role == 'assistant' else '') + '\n' }}{% endfor %}"
    )
    made = tokenize(tmp_path, given, template=path)
    assert made.examples["form"].to_list() == ["unrolled", "unrolled"]


@pytest.mark.parametrize("model", [models.WordLevel, models.Unigram])
def test_a_text_that_has_no_token_is_not_learned_as_the_unknown_one(model: Any, jinja: Any, tmp_path: Path) -> None:
    words = ["<unk>", "user", "assistant", "Hi", "No"]
    made_of = (
        [[(word, 0.0) for word in words], 0]
        if model is models.Unigram
        else [{w: i for i, w in enumerate(words)}, "<unk>"]
    )
    backend = Tokenizer(model(*made_of))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>").save_pretrained(tmp_path)
    rows = [
        talk("asked", "日 Hi", "No"),
        talk("said", "Hi", "No 日本 日"),
        document("told", "Hi 日"),
        document("known", "Hi No"),
    ]
    made = tokenize(tmp_path, *rows, template=jinja(CHATML))
    assert reasons(made) == {"said": "unknown_text", "told": "unknown_text"}  # a server feeds it in a question, too
    told = [detail.split(",")[0] for detail in made.refused["detail"]]
    assert told == ["an answer has '日本'", "the document has '日'"]


def test_more_texts_than_there_are_marks_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = talk("r", "Hi", "No.")["messages"]
    monkeypatch.setattr(marks, "SLOTS", 2)
    assert len(marks.mark_conversation(messages, None, re.compile("(?!)"), names=()).texts) == 2
    monkeypatch.setattr(marks, "SLOTS", 1)
    with pytest.raises(Refusal, match="derivations_disagree: the texts are too many"):
        marks.mark_conversation(messages, None, re.compile("(?!)"), names=())


def test_every_reason_stands_in_the_schema_and_says_what_to_do() -> None:
    (reason,) = (column for column in load_schema("refused").columns if column.name == "reason")
    assert reason.values == tuple(REASONS) == tuple(FIXES)
