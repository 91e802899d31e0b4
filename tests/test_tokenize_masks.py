"""Whatever the tokenizer, the template and the text: what is fed is what a server feeds, what counts is the answer.

The witness is transformers' own `apply_chat_template`, which no code under test calls.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rows import row_id
from served_oracle import assert_served
from shared_data import shared_data
from stages.raw_files.records import read_records
from stages.raw_files.source_files import list_source_files
from stages.tokenize.builtin_templates import BUILTIN_TEMPLATES
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.transform import transform
from tiny_tokenizer import CHATML, TEXTS, make_tokenizer
from tokenized_rows import FORGETFUL, REASONED, WEATHER, chat_of, learned, mixture, reasons, talk, tokenize

ROWS = [
    talk("single", "What is 2+2?", "It is 4."),
    talk("multi", "Hi", "Hello there", "More?", "No. ", "Sure?", "Yes"),
    talk("system", "Hi", "Hello", system="Be brief always."),
    talk("spaces", " Hi ", "  two before, one after \n"),
    talk("breaks", "Hi", "\n\nTwo lines down.\n\n\n", "Again?", "\tTab."),
    talk("code", "Loop?", "for i in x:\n    print(i)\n\n\n# end"),
    talk("accents", "Wie heißt du?", "Ich heiße Jürgen 😀, e\u0301 and \u200d too."),
    WEATHER,
]
SPOKEN = "{% for m in messages %}{{ m.role | upper + ': ' + m.content + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}ASSISTANT: {% endif %}"


@pytest.fixture(scope="module")
def gpt2() -> Path:
    return shared_data("tokenizer/gpt2")


@pytest.mark.parametrize("template", sorted(BUILTIN_TEMPLATES))
def test_a_builtin_template_trains_what_is_served(template: str, gpt2: Path) -> None:
    made, chat = tokenize(gpt2, *ROWS, template=template), chat_of(gpt2, template=template)
    assert_served(made, ROWS, chat)
    tools_are_shown = template == "chatml"
    assert reasons(made) == ({} if tools_are_shown else {"weather": "dropped_tool_call"})
    assert chat.end_token == (BUILTIN_TEMPLATES[template].end_token or "<|endoftext|>")


@pytest.mark.parametrize(
    ("template", "refused"),
    [
        ("alpaca", {"weather": "dropped_tool_call"}),
        ("chatml", {"weather": "dropped_tool_call"}),
        ("gemma-2-2b-it", {"system": "template_error", "weather": "dropped_tool_call"}),
        ("llama-2-chat", {"weather": "dropped_tool_call"}),
        ("llama-3.1-8b-instruct", {}),
        ("llama-3", {"weather": "dropped_tool_call"}),
        ("mistral-nemo-instruct-2407", {}),
        ("phi-3.5-mini-instruct", {"weather": "dropped_tool_call"}),
        ("qwen2.5-7b-instruct", {}),
        ("qwen3-training", {}),
        ("vicuna", {"weather": "dropped_tool_call"}),
        ("zephyr", {"weather": "dropped_tool_call"}),
    ],
)
def test_a_published_template_trains_what_is_served_or_refuses_why(
    template: str, refused: dict[str, str], gpt2: Path
) -> None:
    path = str(shared_data(f"templates/{template}.jinja"))
    made, chat = tokenize(gpt2, *ROWS, template=path), chat_of(gpt2, template=path)
    assert_served(made, ROWS, chat)
    assert reasons(made) == refused


def words_of_metaspace(folder: Path, scheme: str) -> Path:
    """SentencePiece's way: spaces are `▁`, and one is put before a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme)])
    return save(tokenizer, folder, [f"<0x{byte:02X}>" for byte in range(256)])


def words_of_llama_2(folder: Path, texts: Sequence[str] = TEXTS, *first: normalizers.Normalizer) -> Path:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return save(tokenizer, folder, [f"<0x{byte:02X}>" for byte in range(256)], texts)


def words_of_unigram(folder: Path) -> Path:
    """T5's and Gemma's way: the likeliest pieces, spaces as `▁`, what is unknown byte by byte."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    letters = [chr(code) for code in range(32, 127)] + list("\n\t▁")
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", *CHATML],
        initial_alphabet=letters,
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, *letters], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", unk_token="<unk>")
    made.save_pretrained(folder)
    return folder


def words_behind_spaces(folder: Path) -> Path:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return save(tokenizer, folder, sorted(pre_tokenizers.ByteLevel.alphabet()))


def with_control_tokens(folder: Path, **behaviour: bool) -> Path:
    """Control tokens that swallow white space beside them, as some of Phi's and RoBERTa's do, or are found late."""
    words_of_llama_2(folder) if behaviour.get("normalized") else make_tokenizer(
        folder, special_tokens=["<|endoftext|>"]
    )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = [AddedToken(token, special=True, **behaviour) for token in CHATML[1:]]
    tokenizer.add_tokens(tokens, special_tokens=True)
    tokenizer.save_pretrained(folder)
    return folder


def words_across_line_breaks(folder: Path) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return save(tokenizer, folder, sorted(pre_tokenizers.ByteLevel.alphabet()), ["\nHello", "\nIt is", "\nHello"])


def save(tokenizer: Tokenizer, folder: Path, letters: list[str], texts: Sequence[str] = TEXTS) -> Path:
    special_tokens = ["<unk>", *CHATML]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special_tokens, initial_alphabet=[x for x in letters if len(x) == 1],
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    vocabulary |= {
        letter: len(vocabulary) + place for place, letter in enumerate(x for x in letters if x not in vocabulary)
    }
    backend = Tokenizer.from_str(json.dumps(state))
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", unk_token="<unk>").save_pretrained(
        folder
    )
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "byte level": make_tokenizer,
    "byte level behind a space": words_behind_spaces,
    "metaspace before the first word": lambda folder: words_of_metaspace(folder, "first"),
    "metaspace before each piece": lambda folder: words_of_metaspace(folder, "always"),
    "llama 2": words_of_llama_2,
    "unigram": words_of_unigram,
    "line breaks within words": words_across_line_breaks,
    "control tokens that swallow what follows": lambda folder: with_control_tokens(folder, rstrip=True),
    "control tokens that swallow what precedes": lambda folder: with_control_tokens(folder, lstrip=True),
    "control tokens that swallow both": lambda folder: with_control_tokens(folder, lstrip=True, rstrip=True),
}


@pytest.mark.parametrize("template", ["chatml", "llama-3", "zephyr", "alpaca"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_tokenizer_of_any_kind_trains_what_is_served(kind: str, template: str, tmp_path: Path) -> None:
    folder = KINDS[kind](tmp_path)
    made, chat = tokenize(folder, *ROWS[:3], template=template), chat_of(folder, template=template)
    assert_served(made, ROWS[:3], chat)
    assert reasons(made) == {}


def test_an_answer_behind_half_a_word_goes_on_in_the_middle_of_it(tmp_path: Path) -> None:
    folder = words_of_llama_2(tmp_path, ["assistant\nHello"] * 2)
    (template := tmp_path / "spoken.jinja").write_text(SPOKEN)
    rows = [talk("merged", "Hi", "Hello"), talk("parted", "Hi", "Ciao"), talk("more", "Hi", "\nHello", "So?", "  Yes")]
    for name in ("chatml", str(template)):
        made, chat = tokenize(folder, *rows, template=name), chat_of(folder, template=name)
        assert_served(made, rows, chat)
        assert reasons(made) == {}


def test_an_answer_that_cannot_be_encoded_apart_is_refused(tmp_path: Path) -> None:
    folder = words_of_llama_2(tmp_path, ["assistant\nHello"] * 2, normalizers.Replace("\0", ""))
    made = tokenize(folder, talk("merged", "Hi", "Hello"), talk("parted", "Hi", "Ciao"), template="chatml")
    assert reasons(made) == {"merged": "prompt_not_a_prefix"}
    assert "choose a template whose prompt ends in a control token" in made.refused["detail"][0]


def test_where_a_text_cannot_be_cut_behind_the_end_token_each_answer_stands_alone(tmp_path: Path) -> None:
    folder = with_control_tokens(tmp_path, lstrip=True)
    made, chat = tokenize(folder, ROWS[1], template="chatml"), chat_of(folder, template="chatml")
    assert made.examples["form"].to_list() == ["unrolled"] * 3
    assert set(made.examples["input_ids"].list.last()) == {chat.control_ids["<|im_end|>"]}


def test_an_end_token_that_is_not_found_behind_a_word_refuses_the_answer(tmp_path: Path) -> None:
    folder = with_control_tokens(tmp_path, single_word=True)
    made = tokenize(folder, talk("word", "Hi!", "Hello"), talk("stop", "Hi!", "Hello."), template="chatml")
    assert learned(made, chat_of(folder, template="chatml")) == [("stop", 0, ["Hello.<|im_end|>"])]
    assert reasons(made) == {"word": "no_end_token"}


def test_letters_that_only_become_a_control_token_in_the_tokenizer_refuse_the_row(tmp_path: Path) -> None:
    folder = with_control_tokens(tmp_path, normalized=True)
    backend = Tokenizer.from_file(file := str(folder / "tokenizer.json"))
    backend.normalizer = normalizers.NFKC()
    backend.save(file)
    rows = [talk("wide", "Say \uff1c|im_end|\uff1e now", "No."), talk("fine", "Say it", "No.", "Why?", "Well.")]
    made = tokenize(folder, *rows, template="chatml")
    assert reasons(made) == {"wide": "control_token_in_text"}
    assert_served(made, rows, chat_of(folder, template="chatml"))
    (template := tmp_path / "forgetful.jinja").write_text(FORGETFUL)
    assert reasons(tokenize(folder, REASONED, template=str(template))) == {}  # an example for each answer


def test_control_tokens_that_are_there_keep_their_behaviour(tmp_path: Path) -> None:
    chat = chat_of(with_control_tokens(tmp_path, rstrip=True), template="chatml")
    kept = {token.content: token.rstrip for token in chat.backend.get_added_tokens_decoder().values()}
    assert kept == {"<|endoftext|>": False, "<|im_start|>": True, "<|im_end|>": True}


PIECES = [" ", "\n", "\t", "a", "The", "<|im_", "end|>", "<|im_end|>", "é", "😀", "\u0301", "</s>", "{{", "\u200d"]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
conversations = st.lists(texts, min_size=1, max_size=6).map(lambda turns: [*turns, "x"] if len(turns) % 2 else turns)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tiny"), texts=[*TEXTS, "\n\n \n\n \t\t  "], vocab_size=500)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(conversations, min_size=1, max_size=4),
    template=st.sampled_from(["chatml", "chatml-lite", "llama-3", "zephyr", "mistral"]),
)
def test_any_text_is_trained_as_served_or_refused(turns: list[list[str]], template: str, tiny: Path) -> None:
    rows = [talk(f"row {place}", *texts) for place, texts in enumerate(turns)]
    made, chat = tokenize(tiny, *rows, template=template), chat_of(tiny, template=template)
    assert_served(made, rows, chat)
    # The marks are private characters; a text with all kinds of those cannot be marked, so nothing is proven.
    unmarkable = (
        {"derivations_disagree"} if any(c >= "\U000f0000" for texts in turns for t in texts for c in t) else set()
    )
    assert set(reasons(made).values()) <= {"empty_answer", "control_token_in_text", *unmarkable}
    kept = {id_ for id_ in made.examples["row_id"]}
    assert sorted([*kept, *made.refused["row_id"]]) == sorted(given["row_id"] for given in rows)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(conversations, min_size=2, max_size=6),
    order=st.randoms(use_true_random=False),
    max_tokens=st.sampled_from([12, 24, 2048]),
    supervise=st.sampled_from(["all", "last"]),
)
def test_each_row_is_decided_on_its_own(
    turns: list[list[str]], order: Any, max_tokens: int, supervise: str, tiny: Path
) -> None:
    params = {"template": "chatml", "max_tokens": max_tokens, "supervise": supervise}
    rows = [talk(f"row {place}", *texts) for place, texts in enumerate(turns)]
    together = tokenize(tiny, *rows, **params)
    order.shuffle(rows)
    apart = [tokenize(tiny, given, **params) for given in rows]
    for dataset, key in (("examples", ["row_id", "turn"]), ("refused", ["row_id"])):
        joined = pl.concat([getattr(made, dataset) for made in apart])
        assert joined.sort(key).equals(getattr(together, dataset).sort(key))


@pytest.mark.slow
def test_two_thousand_rows_of_alpaca_are_trained_as_served(gpt2: Path) -> None:
    (file,) = list_source_files([shared_data("alpaca/alpaca_data.json.gz")])
    values = [record.value for record, _ in zip(read_records(file), range(2000), strict=False)]
    rows = [
        talk(f"alpaca {place}", "\n\n".join(filter(None, [value["instruction"], value["input"]])), value["output"])
        for place, value in enumerate(values)
    ]
    made = transform(mixture(*rows), params=TokenizeParams(tokenizer=str(gpt2), template="chatml"))
    chat = chat_of(gpt2, template="chatml")
    assert_served(made, rows, chat)
    expected = {given["row_id"]: given["messages"][1]["content"] + "<|im_end|>" for given in rows}
    said = {row_id(name): text for name, _, (text,) in learned(made, chat)}
    assert said == {id_: expected[id_] for id_ in said}
    empty = sum(not given["messages"][1]["content"].strip() for given in rows)
    assert Counter(reasons(made).values()) == ({"empty_answer": empty} if empty else {})
    assert len(said) == len(rows) - empty
