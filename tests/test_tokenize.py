"""Given conversations, exactly these texts are learned, and these rows are refused."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from rows import row_id
from stages.errors import ConfigError
from stages.schema import check_table, load_schema
from stages.tokenize.builtin_templates import BUILTIN_TEMPLATES
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.transform import transform
from tiny_tokenizer import make_tokenizer
from tokenized_rows import (
    FORGETFUL,
    REASONED,
    WEATHER,
    chat_of,
    document,
    learned,
    mixture,
    reasons,
    row,
    runs,
    talk,
    tokenize,
)

GREETING = talk("greeting", "Hi", "Hello there", "More?", "No.")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def jinja(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "made.jinja"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("chatml", ["Hello there<|im_end|>", "No.<|im_end|>"]),
        ("chatml-lite", ["Hello there<|end|>", "No.<|end|>"]),
        ("llama-2", [" Hello there <|endoftext|>", " No. <|endoftext|>"]),
        ("mistral", [" Hello there<|endoftext|>", " No.<|endoftext|>"]),
        ("gemma", ["Hello there<end_of_turn>", "No.<end_of_turn>"]),
        ("zephyr", ["Hello there<|endoftext|>", "No.<|endoftext|>"]),
        ("alpaca", ["Hello there<|endoftext|>", "No.<|endoftext|>"]),
    ],
)
def test_each_answer_and_its_end_token_count_and_nothing_else(
    template: str, expected: list[str], tokenizer: Path
) -> None:
    made = tokenize(tokenizer, GREETING, template=template)
    assert learned(made, chat_of(tokenizer, template=template)) == [("greeting", 0, expected)]
    assert made.examples["form"].to_list() == ["conversation"]


def test_the_whole_text_is_kept_with_the_line_break_behind_the_end_token_masked(tokenizer: Path) -> None:
    made = tokenize(tokenizer, talk("brief", "Hi", "Hello", system="Be brief."), template="chatml")
    (example,) = made.examples.iter_rows(named=True)
    assert runs(example, chat_of(tokenizer, template="chatml")) == [
        (False, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (True, "Hello<|im_end|>"),
        (False, "\n"),
    ]


def test_only_the_last_answer_counts_when_asked_for(tokenizer: Path) -> None:
    made = tokenize(tokenizer, GREETING, template="chatml", supervise="last")
    assert learned(made, chat_of(tokenizer, template="chatml")) == [("greeting", 0, ["No.<|im_end|>"])]


def test_tool_calls_are_learned_and_tool_results_are_not(tokenizer: Path) -> None:
    made = tokenize(tokenizer, WEATHER, template="chatml")
    called = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>'
    assert learned(made, chat_of(tokenizer, template="chatml")) == [("weather", 0, [called, "It is sunny.<|im_end|>"])]


@pytest.mark.parametrize("thought", ["reasoning_content", "thinking", "reasoning", "thought"])
def test_a_template_that_rewrites_history_gets_an_example_for_each_answer(
    thought: str, tokenizer: Path, jinja: Any
) -> None:
    template = jinja(FORGETFUL.replace("reasoning_content", thought))
    made = tokenize(tokenizer, REASONED, GREETING, template=template)
    assert learned(made, chat_of(tokenizer, template=template)) == [
        ("reasoned", 0, ["<think>Spanish</think>Uno.<|im_end|>"]),
        ("reasoned", 1, ["<think>Italian</think>Due.<|im_end|>"]),
        ("greeting", 0, ["Hello there<|im_end|>", "No.<|im_end|>"]),
    ]
    assert made.examples["form"].to_list() == ["unrolled", "unrolled", "conversation"]


def test_where_prompt_and_answer_would_share_a_token_the_answer_is_encoded_apart(tmp_path: Path) -> None:
    """GPT-2's rule makes one piece of two line breaks at the end of a prompt, and two where a letter follows."""
    tokenizer = make_tokenizer(tmp_path, texts=["\n\n \n\n \n\n"])
    chat = chat_of(tokenizer, template="llama-3")
    made = tokenize(tokenizer, GREETING, template="llama-3")
    assert learned(made, chat) == [("greeting", 0, ["Hello there<|eot_id|>"]), ("greeting", 1, ["No.<|eot_id|>"])]
    assert made.examples["form"].to_list() == ["unrolled", "unrolled"]
    for example, asked in zip(made.examples["input_ids"].to_list(), (1, 3), strict=True):
        prompt = chat.prompt_ids(GREETING["messages"][:asked])
        assert example[: len(prompt)] == prompt
        assert chat.backend.decode(prompt[-1:]) == "\n\n"
    turns = ("Hi", "Hello there", "More?", "No.", "Sure?", "Yes.")
    lengths = tokenize(tokenizer, talk("long", *turns), template="llama-3").examples["input_ids"].list.len()
    last = {"template": "llama-3", "supervise": "last", "max_tokens": lengths[1]}
    shorter = tokenize(tokenizer, talk("long", *turns), **last).examples
    told = shorter.select("form", "turn", "answers_dropped", "tokens_dropped").rows()
    assert told == [("unrolled", 1, 1, lengths[2] - lengths[1])]


def test_a_document_counts_but_for_its_first_token_and_ends_in_the_end_of_text(tokenizer: Path) -> None:
    made = tokenize(tokenizer, document("tale", "The capital of France is Paris."), template="chatml")
    (example,) = made.examples.iter_rows(named=True)
    assert example["form"] == "document"
    assert runs(example, chat_of(tokenizer, template="chatml")) == [
        (False, "The"),
        (True, " capital of France is Paris.<|endoftext|>"),
    ]


def test_a_document_gets_what_the_tokenizer_adds_to_any_text_and_one_end(tmp_path: Path) -> None:
    make_tokenizer(tmp_path, special_tokens=("<|endoftext|>", "<s>"))
    backend = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    special_tokens = [("<s>", backend.token_to_id("<s>")), ("<|endoftext|>", backend.token_to_id("<|endoftext|>"))]
    backend.post_processor = TemplateProcessing(single="<s> $A <|endoftext|>", special_tokens=special_tokens)
    backend.save(str(tmp_path / "tokenizer.json"))
    made = tokenize(tmp_path, document("tale", "The end."), template="chatml")
    assert learned(made, chat_of(tmp_path, template="chatml")) == [("tale", 0, ["The end.<|endoftext|>"])]
    assert made.examples["input_ids"][0][0] == backend.token_to_id("<s>")


def test_a_long_document_is_split_so_that_each_token_but_the_first_is_learned_once(tokenizer: Path) -> None:
    text = "Name three colours: red, green and blue. " * 9
    (whole,) = tokenize(tokenizer, document("tale", text), template="chatml").examples["input_ids"].to_list()
    chunks = tokenize(tokenizer, document("tale", text), template="chatml", max_tokens=10).examples
    assert chunks["turn"].to_list() == list(range(chunks.height))
    assert chunks["input_ids"].list.len().max() == 10
    counted = [
        id_
        for example in chunks.iter_rows(named=True)
        for id_, counts in zip(example["input_ids"], example["loss_mask"], strict=True)
        if counts
    ]
    assert counted == whole[1:]
    one = tokenize(tokenizer, document("tale", text), template="chatml", max_tokens=len(whole)).examples
    assert one["input_ids"].to_list() == [whole]  # and no second chunk without a token to learn


def tokens_of(tokenizer: Path, *turns: str) -> int:
    return len(tokenize(tokenizer, talk("x", *turns), template="chatml").examples["input_ids"][0])


def test_a_long_conversation_loses_whole_exchanges_from_its_end(tokenizer: Path) -> None:
    limit = tokens_of(tokenizer, "Hi", "Hello there")
    made = tokenize(tokenizer, GREETING, template="chatml", max_tokens=limit)
    assert learned(made, chat_of(tokenizer, template="chatml")) == [("greeting", 0, ["Hello there<|im_end|>"])]
    assert made.examples["answers_dropped"].to_list() == [1]
    shorter = tokenize(tokenizer, talk("x", "Hi", "Hello there"), template="chatml")
    assert made.examples["input_ids"].to_list() == shorter.examples["input_ids"].to_list()


def test_of_a_long_conversation_the_last_answer_that_fits_counts(tokenizer: Path) -> None:
    turns = ["Hi", "Hello there", "More?", "No.", "Sure?", "Yes."]
    limit = tokens_of(tokenizer, *turns[:4])
    made = tokenize(tokenizer, talk("long", *turns), template="chatml", max_tokens=limit, supervise="last")
    assert learned(made, chat_of(tokenizer, template="chatml")) == [("long", 0, ["No.<|im_end|>"])]
    assert made.examples["answers_dropped"].to_list() == [1]


def test_unrolled_answers_that_do_not_fit_are_left_out_and_counted(tokenizer: Path, jinja: Any) -> None:
    template = jinja(FORGETFUL)
    third = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Tre.", "reasoning_content": "Italian"}]
    given = row("three", [*REASONED["messages"], *third])
    lengths = tokenize(tokenizer, given, template=template).examples["input_ids"].list.len()
    made = tokenize(tokenizer, given, template=template, max_tokens=lengths[1])
    assert made.examples.select("turn", "answers_dropped", "tokens_dropped").rows() == [(0, 1, lengths[2]), (1, 0, 0)]


def test_a_first_exchange_that_does_not_fit_is_refused_and_never_cut(tokenizer: Path) -> None:
    limit = tokens_of(tokenizer, "Hi", "Hello there")
    made = tokenize(tokenizer, GREETING, template="chatml", max_tokens=limit - 1)
    assert made.examples.height == 0
    whole = tokens_of(tokenizer, "Hi", "Hello there", "More?", "No.")
    detail = f"the first exchange has {limit} tokens, more than max_tokens={limit - 1}; all have {whole}; raise max_tokens, or shorten it"
    assert made.refused.select("reason", "detail").rows() == [("too_long", detail)]


def test_good_and_refused_rows_of_one_batch_stay_apart_and_whole(tokenizer: Path) -> None:
    given = mixture(GREETING, talk("empty", "Hi", ""), talk("fine", "Hi", "Hello"))
    made = transform(given, params=TokenizeParams(tokenizer=str(tokenizer), template="chatml"))
    assert made.examples["row_id"].to_list() == [row_id("greeting"), row_id("fine")]
    assert reasons(made) == {"empty": "empty_answer"}
    assert made.refused.drop("reason", "detail").equals(given[1:2])
    check_table(made.examples, load_schema("examples"), "examples")


def test_no_rows_give_empty_tables_of_the_right_types(tokenizer: Path) -> None:
    made = transform(mixture(GREETING).clear(), params=TokenizeParams(tokenizer=str(tokenizer), template="chatml"))
    assert made.examples.schema == pl.Schema(load_schema("examples").dtypes)
    assert made.refused.height == 0


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"tokenizer": None}, r"none is given; set it with --set tokenizer=<folder or hub id>"),
        ({}, "no chat template of its own, which template=tokenizer asks for; choose one of chatml, chatml-lite"),
        ({"template": "chatlm"}, r"template 'chatlm' is neither the path of a \.jinja file nor one of chatml"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_set(params: dict[str, Any], told: str, tokenizer: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        transform(mixture(GREETING), params=TokenizeParams(**({"tokenizer": str(tokenizer)} | params)))


def test_the_tokenizer_s_own_template_is_used_when_none_is_named(tokenizer: Path, tmp_path: Path) -> None:
    for file in tokenizer.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text(BUILTIN_TEMPLATES["chatml"].text)
    assert learned(tokenize(tmp_path, GREETING), chat_of(tmp_path)) == [
        ("greeting", 0, ["Hello there<|im_end|>", "No.<|im_end|>"])
    ]


def test_a_tokenizer_that_is_replaced_in_its_folder_is_read_again(tmp_path: Path) -> None:
    make_tokenizer(tmp_path)
    before = tokenize(tmp_path, GREETING, template="chatml").examples["input_ids"][0].to_list()
    make_tokenizer(tmp_path, vocab_size=300)
    after = tokenize(tmp_path, GREETING, template="chatml").examples["input_ids"][0].to_list()
    assert len(after) > len(before)


def test_a_row_says_itself_which_of_its_answers_count(tokenizer: Path) -> None:
    turns = ("Hi", "Hello there", "More?", "No.", "Sure?", "Yes.")
    rows = [
        talk("first and last", *turns, supervised=[True, False, True]),
        talk("middle", *turns, supervised=[False, True, False]),
        talk("as set", *turns),
        talk("none", *turns, supervised=[False, False, False]),
        talk("too few", *turns, supervised=[True]),
    ]
    made = tokenize(tokenizer, *rows, template="chatml")
    end = "<|im_end|>"
    assert learned(made, chat_of(tokenizer, template="chatml")) == [
        ("first and last", 0, [f"Hello there{end}", f"Yes.{end}"]),
        ("middle", 0, [f"No.{end}"]),
        ("as set", 0, [f"Hello there{end}", f"No.{end}", f"Yes.{end}"]),
    ]
    assert reasons(made) == {"none": "nothing_counts", "too few": "supervised_mismatch"}
    opted = tokenize(tokenizer, *rows, template="chatml", supervise="none")
    assert [name for name, _, _ in learned(opted, chat_of(tokenizer, template="chatml"))] == [
        "first and last",
        "middle",
    ]
    assert reasons(opted)["as set"] == "nothing_counts"


def test_an_example_weighs_what_its_row_does(tokenizer: Path) -> None:
    made = tokenize(tokenizer, talk("half", "Hi", "Hello", weight=0.5), talk("whole", "Hi", "Hello"), template="chatml")
    assert made.examples["weight"].to_list() == [0.5, 1.0]


@pytest.mark.parametrize("supervise", ["all", "last"])
def test_the_tokens_that_are_left_out_are_counted(supervise: str, tokenizer: Path) -> None:
    turns = ["Hi", "Hello there", "More?", "No.", "Sure?", "Yes."]
    limit, whole = tokens_of(tokenizer, *turns[:2]), tokens_of(tokenizer, *turns)
    made = tokenize(tokenizer, talk("long", *turns), template="chatml", max_tokens=limit, supervise=supervise)
    assert made.examples.select("answers_dropped", "tokens_dropped").rows() == [(2, whole - limit)]
