"""Rendering is what transformers renders, opening a tokenizer is quiet and safe, and wrong files are named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rows import chat
from shared_data import shared_data
from stages.errors import ConfigError, ServiceUnavailable
from stages.modelling.chat_template import ChatTemplate, RenderError
from stages.modelling.template_messages import template_messages, template_tools
from stages.modelling.tokenizer_files import open_chat_tokenizer, open_tokenizer
from stages.tokenize.builtin_templates import BUILTIN_TEMPLATES
from tiny_tokenizer import make_tokenizer

CALL = json.dumps([{"type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}])
TOOL = json.dumps([{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}])
QUESTION_AND_ANSWER = chat("What is 1 + 2?", "3 <ok> & done")
WITH_SYSTEM = [{"role": "system", "content": "Be brief."}, *QUESTION_AND_ANSWER]
WITH_CALL = [
    {"role": "user", "content": "Add."},
    {"role": "assistant", "content": "", "tool_calls": CALL},
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": "It is 3."},
]
TEMPLATE_FILES = [
    "alpaca", "chatml", "gemma-2-2b-it", "llama-2-chat", "llama-3.1-8b-instruct", "llama-3", "mistral-nemo-instruct-2407",
    "phi-3.5-mini-instruct", "qwen2.5-7b-instruct", "qwen3-training", "vicuna", "zephyr",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def gpt2() -> PreTrainedTokenizerFast:
    return open_tokenizer(shared_data("tokenizer/gpt2"))


def assert_renders_as_transformers_does(text: str, folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    template = ChatTemplate(text, tokenizer.special_tokens_map)
    rendered_any = False
    for messages, tools in ((QUESTION_AND_ANSWER, None), (WITH_SYSTEM, None), (WITH_CALL, TOOL)):
        for given, generation in ((messages, False), (messages[:-1], True)):
            made, offered = template_messages(given), template_tools(tools)
            try:
                ours = template.render(made, offered, add_generation_prompt=generation)
            except RenderError:
                continue
            theirs = tokenizer.apply_chat_template(
                made, tools=offered, chat_template=text, tokenize=False, add_generation_prompt=generation
            )
            assert ours == theirs
            rendered_any = True
    assert rendered_any


@pytest.mark.parametrize("name", sorted(BUILTIN_TEMPLATES))
def test_a_builtin_template_renders_as_transformers_renders_it(name: str, folder: Path) -> None:
    assert_renders_as_transformers_does(BUILTIN_TEMPLATES[name].text, folder)


@pytest.mark.parametrize("name", TEMPLATE_FILES)
def test_a_published_template_renders_as_transformers_renders_it(name: str, gpt2: PreTrainedTokenizerFast) -> None:
    text = shared_data(f"templates/{name}.jinja").read_text(encoding="utf-8")
    for messages in (QUESTION_AND_ANSWER, QUESTION_AND_ANSWER[:1]):
        generation = len(messages) == 1
        ours = ChatTemplate(text, gpt2.special_tokens_map).render(messages, add_generation_prompt=generation)
        theirs = gpt2.apply_chat_template(
            messages, chat_template=text, tokenize=False, add_generation_prompt=generation
        )
        assert ours == theirs


@pytest.mark.parametrize("tools", [None, '[{"type": "function", "function": {"name": "now"}}]'])
def test_of_several_templates_the_one_for_tools_renders_what_has_tools_as_transformers_chooses_it(
    tools: str | None, folder: Path, tmp_path: Path
) -> None:
    several = PreTrainedTokenizerFast.from_pretrained(folder)
    turns = "{% for m in messages %}[{{ m.content }}]\n  {% endfor %}"
    several.chat_template = {
        "default": f"\n {turns}\n\n",
        "tool_use": f"\n  {{{{ tools | length }}}}{turns}  ",
        "rag": "no",
    }
    several.save_pretrained(tmp_path)
    given = template_messages(chat("Hi", "Hello")), template_tools(tools)
    assert open_chat_tokenizer(tmp_path).template.render(*given, add_generation_prompt=False) == (
        several.apply_chat_template(given[0], given[1], tokenize=False)
    )


def test_today_is_a_fixed_day_and_not_the_day_of_the_run() -> None:
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", {})
    assert template.render([], add_generation_prompt=False) == "26 Jul 2024"
    assert template.asks_for_the_date


def test_a_template_that_raises_gives_its_own_words() -> None:
    template = ChatTemplate("{{ raise_exception('Roles must alternate') }}", {})
    with pytest.raises(RenderError, match="Roles must alternate"):
        template.render([], add_generation_prompt=False)


@pytest.mark.parametrize(
    "text",
    [
        "{{ missing_token + 'x' }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages[3]['role'] + '' }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ cycler() }}",
    ],
)
def test_a_template_that_stumbles_over_a_conversation_is_a_render_error(text: str) -> None:
    with pytest.raises(RenderError):
        ChatTemplate(text, {}).render(QUESTION_AND_ANSWER, add_generation_prompt=False)


def test_a_template_that_is_no_jinja_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"chat template, line 2: .*endfor"):
        ChatTemplate("{% for message in messages %}\n{{ message.content }}{% endif %}", {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{% break %}", "'break' outside loop"),
        ("{{ " + "(" * 300 + "1" + ")" * 300 + " }}", "recursion"),
        (r"{{ '\ud83d\ude00' }}", "surrogates not allowed"),
    ],
)
def test_a_template_of_which_no_code_or_text_can_be_made_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ChatTemplate(text, {})


def test_a_template_cannot_reach_python() -> None:
    with pytest.raises(RenderError, match="unsafe"):
        ChatTemplate("{{ ''.__class__.__mro__ }}", {}).render([], add_generation_prompt=False)


def test_what_is_null_in_a_message_is_left_out_and_calls_are_parsed() -> None:
    given = [{"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": CALL}]
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    assert template_messages(given) == [{"role": "assistant", "content": "", "tool_calls": [call]}]


def test_arguments_that_are_no_json_stay_as_they_are() -> None:
    calls = json.dumps([{"function": {"name": "run", "arguments": "ls -l"}}])
    (message,) = template_messages([{"role": "assistant", "content": "", "tool_calls": calls}])
    assert message["tool_calls"][0]["function"]["arguments"] == "ls -l"


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ("[{", "tool_calls of message 0 is not JSON"),
        ('{"name": "add"}', "tool_calls of message 0 is a JSON dict and no array"),
        ('[{"name": "add"}]', "tool_calls of message 0 holds a call without function.name"),
        ("[" * 2_000 + "]" * 2_000, "tool_calls of message 0 has lists and objects within"),
        (
            '[{"function": {"name": "add", "arguments": "' + "[" * 150 + "1" + "]" * 150 + '"}}]',
            "a call in message 0 has lists",
        ),
        (
            r'[{"function": {"name": "add", "arguments": {"a": "\ud83d"}}}]',
            r"tool_calls of message 0 holds '\\ud83d', half a",
        ),
        (
            r'[{"function": {"name": "add", "arguments": "[\"\\ud83d\"]"}}]',
            r"a call in message 0 holds '\\ud83d', half a",
        ),
    ],
)
def test_calls_that_cannot_be_read_are_told_with_their_position(calls: str, told: str) -> None:
    with pytest.raises(RenderError, match=told):
        template_messages([{"role": "assistant", "content": "", "tool_calls": calls}])


def test_opening_a_tokenizer_loads_no_torch(folder: Path) -> None:
    code = (
        "import sys; from stages.modelling.chat_template import ChatTemplate; from stages.modelling.tokenizer_files import open_tokenizer; "
        f"open_tokenizer({str(folder)!r}); import stages.tokenize.transform, stages.tokenize.job; "
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_openai_s_own_gpt2_files_give_the_published_ids(gpt2: PreTrainedTokenizerFast) -> None:
    # The ids of https://github.com/openai/gpt-2's encoder for this text, as in transformers' own GPT-2 tests.
    assert gpt2("Hello world! <|endoftext|>").input_ids == [15496, 995, 0, 220, 50256]
    assert (gpt2.eos_token, len(gpt2)) == ("<|endoftext|>", 50257)


def test_a_pair_of_vocabulary_and_merges_gives_the_same_ids_as_tokenizer_json(folder: Path, tmp_path: Path) -> None:
    Tokenizer.from_file(str(folder / "tokenizer.json")).model.save(str(tmp_path))
    text = "The capital of France is Paris.\n\n  How are you?"
    assert open_tokenizer(tmp_path)(text).input_ids == AutoTokenizer.from_pretrained(folder)(text).input_ids


def test_a_pair_that_belongs_to_another_kind_of_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    Tokenizer.from_file(str(folder / "tokenizer.json")).model.save(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    with pytest.raises(ConfigError, match="of a Qwen2Tokenizer, which splits text by its own rule"):
        open_tokenizer(tmp_path)


def test_a_length_that_the_tokenizer_file_states_cuts_nothing(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(4)
    backend.enable_padding(length=600)
    backend.save(str(tmp_path / "tokenizer.json"))
    ids = open_tokenizer(tmp_path).backend_tokenizer.encode("a b c d e f g h").ids
    assert ids == open_tokenizer(folder).backend_tokenizer.encode("a b c d e f g h").ids


def test_what_is_no_tokenizer_is_told_with_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"holds no tokenizer that can be read; it needs tokenizer\.json, or encoder\.json"
    ):
        open_tokenizer(tmp_path)
    with pytest.raises(ConfigError, match="is no folder; give a folder that holds"):
        open_tokenizer(tmp_path / "missing")
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer\.json is not JSON"):
        open_tokenizer(tmp_path)
    Tokenizer(BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match=r"the vocabulary in .* is empty; save that tokenizer again"):
        open_tokenizer(tmp_path)


def test_a_hub_id_without_a_hub_says_that_it_may_be_a_missing_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ServiceUnavailable, match="tokenizer nobody/nothing is no folder here, and the hub"):
        open_tokenizer("nobody/nothing")


def test_a_tokenizer_without_a_template_cannot_ask_a_model(folder: Path) -> None:
    with pytest.raises(ConfigError, match="has no chat template; give the folder that tokenize made"):
        open_chat_tokenizer(folder)


def test_a_prompt_ends_where_the_answer_begins(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text(BUILTIN_TEMPLATES["chatml"].text)
    opened = open_chat_tokenizer(tmp_path)
    assert opened.prompt(WITH_SYSTEM[:2]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 1 + 2?<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = opened.prompt_ids(WITH_SYSTEM[:2])
    assert opened.decode(ids) == opened.prompt(WITH_SYSTEM[:2])
    assert ids.count(opened.token_id("<|im_start|>")) == 3
