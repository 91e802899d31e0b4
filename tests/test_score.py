import gzip
from typing import Any

import polars as pl
import pytest

from rows import chat, row_id, table
from shared_data import shared_data
from stages.schema import check_table, load_schema
from stages.score.stage import ScoreParams
from stages.score.transform import transform


def scored(*conversations: list[dict[str, Any]]) -> pl.DataFrame:
    rows = [{"row_id": row_id(str(number)), "messages": messages} for number, messages in enumerate(conversations)]
    return transform(table("unique", rows), params=ScoreParams()).scored


def signals(prompt: str, answer: str) -> dict[str, Any]:
    return scored(chat(prompt, answer)).row(0, named=True)


def test_lengths_are_counted_in_characters_and_words() -> None:
    found = signals("Où est la tour?", "À Paris, près\nde la Seine.")
    assert (found["prompt_chars"], found["response_chars"], found["response_words"]) == (15, 26, 6)


def test_each_character_of_a_script_without_spaces_is_a_word() -> None:
    assert signals("?", "東京です, Tokyo")["response_words"] == 5


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("one two", 0.0),  # no run of three words
        ("one two three four", 0.0),
        ("la la la la la", 2 / 3),  # three runs, one of them new
        ("the red fox. The RED fox!", 1 / 4),  # of its four runs the last is the first again
        ("go on, " * 50, 1 - 2 / 98),
    ],
)
def test_repetition_is_the_share_of_runs_of_three_words_that_stood_before(answer: str, share: float) -> None:
    assert signals("Write.", answer)["repeated_trigram_share"] == pytest.approx(share)


def test_the_order_of_the_words_makes_a_run() -> None:
    assert signals("Write.", "a b c b a c a c b")["repeated_trigram_share"] == 0.0


@pytest.mark.parametrize(
    ("prompt", "answer", "share"),
    [
        ("Mend: the cat sat on the mat", "The cat sat on a chair", 2 / 4),
        ("Sort the words: pear, fig, lime", "fig lime pear", 0.0),
        ("Say it again: I am here now", "I am here now. I am here now.", 2 / 4),  # distinct runs count, once each
        ("Name a colour", "Red", 0.0),
        ("", "one two three", 0.0),
    ],
)
def test_copying_is_the_share_of_the_answers_runs_that_stand_in_the_prompt(
    prompt: str, answer: str, share: float
) -> None:
    assert signals(prompt, answer)["answer_copies_prompt_share"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("answer", "symbols", "digits"),
    [("a+b=c!", 3 / 6, 0.0), ("1234 ab", 0.0, 4 / 7), ("é à", 0.0, 0.0), ("٣?", 1 / 2, 1 / 2)],
)
def test_symbols_and_digits_are_shares_of_the_characters(answer: str, symbols: float, digits: float) -> None:
    found = signals("?", answer)
    assert (found["symbol_share"], found["digit_share"]) == (pytest.approx(symbols), pytest.approx(digits))


@pytest.mark.parametrize(
    ("answer", "unfinished"),
    [
        ("The sum of 14 and 6 is equal to", True),
        ("Here is the list:", True),
        ("Red, green,\n", True),
        ("Use `print(`:\n```python\nprint(1)\n", True),  # the code block is still open
        ("```\nprint(1)\n```", False),
        ("1. Red\n2. Green", False),
        ("The best way to learn to sail is to hire a", True),
        ("When the tide comes in, you", True),
        ("He went home because he", True),
        ("The bridge was built so that it", True),
        ("It is important for every", True),
        ("Sales rose again. In the next year they will then be", True),
        ("Es gibt viele Gründe, warum ich nicht komme, und die", True),
        ("La ciudad tiene un puerto grande y una", True),
        ("Le port est situé au bord de la mer dans la", True),
        ("It's a warm place with old streets, and it's a", True),
        ("Bring bread, some old cheese, a", True),
        ("Mix the flour and the", True),
        ("Bread is the", True),
        ("Before you go in, make sure you", True),
        ("Here is a list of everything you", True),
        ("1. Mix the flour.\n2. Bake it, and when it is brown you can", True),
        ("3 + 4 + 5 =", True),
        ("It was a fine day.\n\n##", True),
        ("- Flour\n- Water\n-", True),
        ("我们需要面粉、水、", True),
        ("It was all thanks to you", False),
        ("It rains. Bring all the bread that you want to, as you can", False),
        ("It was late. Nobody had ever seen a loaf like this", False),
        ("We met once. I am proud of you", False),
        ("It rains. All these words begin with a", False),
        ("She came of her own free will. He went of his own free will", False),
        ("- one\n- two\n***", False),
        ("edit, here, the, this, a", False),
        ("night dark The", False),
        ("In front of", False),
        ("x ==", False),
        ("I do not know what to do", False),
        ("She asked who we are", False),
        ("Nobody knows where it is", False),
        ("Nobody remembers now where it comes from", False),
        ("Most of the doctors say vitamin a", False),
        ("def swap(a, b):\n    return b, a", False),
        ("1. Rake\n2. Hose\n3. Shears\n4. Watering can", False),
        ("Die Stadt am Fluss ist sehr alt", False),
        ("Dear Mara,\nIt was late.\n\nWith many thanks,", False),
        ("It was late.\n\nRoses stood by the wall,", True),
        ("opt for", False),  # a short phrase that may have been asked for
        ("It ends here.", False),
        ("Paris", False),
        ("", False),
    ],
)
def test_an_answer_that_stops_in_the_middle_is_unfinished(answer: str, unfinished: bool) -> None:
    assert signals("Go on.", answer)["ends_unfinished"] is unfinished


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("As an AI language model, I cannot taste.", "As an AI language model,"),
        ("Well, I'm just an AI and have no eyes.", "I'm just an AI and"),
        ("I’m sorry, but I can’t assist with that request.", "I’m sorry, but I can’t assist"),
        ("Sorry, the task involves a drawing.", "Sorry, the task"),
        ("We cannot complete this task.", "cannot complete this task"),
        ("This task cannot be performed by a GPT model.", "This task cannot be performed"),
        ("I am not able to generate a logo.", "I am not able to generate"),
        ("I'm sorry for being late to our meeting.", None),
        ("I can't help falling in love.", None),
        ("A model is as an airplane to a bird.", None),
        ("GPT-3 was developed by OpenAI.", None),
        ("Fear that a task cannot be completed leads to delay.", None),
    ],
)
def test_a_refusal_is_quoted_and_an_apology_in_a_letter_is_none(answer: str, phrase: str | None) -> None:
    assert signals("Do it.", answer)["refusal_phrase"] == phrase


@pytest.mark.parametrize(
    ("prompt", "answer", "leak"),
    [
        ("Name a river.", "The Lun.\n\n### Instruction:\nName a town.", "### Instruction:"),
        ("Name a river.", "The Lun.<|im_end|>", "<|im_end|>"),
        ("Name a river.", "The Lun.\n18. Instruction: Name a town.", "18. Instruction:"),
        ("Name a river.", "<noinput>", "<noinput>"),
        ("Name a river.", "The Lun.\n\nHuman: And a town?", "Human:"),
        ("Write a dialogue.", "Robot: Hello.\nHuman: Hi.", None),  # it was asked for
        ("Sort: Human, Car", "Human: living\nCar: not living", None),  # an answer may begin with a label
        ("What does <|im_end|> mean?", "<|im_end|> ends a turn.", None),  # it is what the question is about
        ("Name a river.", "Instruction: name one yourself", None),
    ],
)
def test_a_mark_of_a_chat_template_that_the_question_lacks_is_a_leak(
    prompt: str, answer: str, leak: str | None
) -> None:
    assert signals(prompt, answer)["template_leak"] == leak


@pytest.mark.parametrize(
    ("prompt", "placeholder"),
    [
        ("Tell a joke.\n\n<noinput>", True),
        ("Tell a joke.\nNo input required.", True),
        ("Tell a joke.\n\nN/A", True),
        ("There was no input from the crowd.", False),
        ("What does N/A mean?", False),
    ],
)
def test_a_line_that_says_there_is_no_input_is_a_placeholder(prompt: str, placeholder: bool) -> None:
    assert signals(prompt, "A joke.")["placeholder_input"] is placeholder


def test_links_are_counted_on_both_sides() -> None:
    assert (
        signals("Read https://a.example and www.b.example", "See HTTP://c.example. The www is old.")["url_count"] == 3
    )


def test_an_empty_answer_has_counts_and_shares_of_zero() -> None:
    found = signals("Say nothing.", "")
    counts = (
        "response_chars",
        "response_words",
        "repeated_trigram_share",
        "answer_copies_prompt_share",
        "symbol_share",
    )
    assert [found[name] for name in (*counts, "digit_share", "url_count")] == [0] * 7


def test_signals_about_a_dialogue_are_null_for_a_document() -> None:
    [found] = scored([{"role": "text", "content": "I am an AI, said the robot, and then:"}]).to_dicts()
    about_dialogue = [
        "prompt_chars",
        "answer_copies_prompt_share",
        "ends_unfinished",
        "refusal_phrase",
        "placeholder_input",
    ]
    assert [found[name] for name in about_dialogue] == [None] * 5
    assert (found["response_chars"], found["response_words"]) == (37, 9)


def test_every_answer_of_a_conversation_is_looked_at_and_only_the_last_can_be_unfinished() -> None:
    [found] = scored(chat("Hi", "As an AI, I greet you, and:", "And?", "That is all.")).to_dicts()
    assert (found["refusal_phrase"], found["ends_unfinished"]) == ("As an AI,", False)
    assert found["prompt_chars"] == len("Hi\nAnd?")


def test_a_tool_call_is_an_answer() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": '[{"name": "ring", "arguments": {}}]'}
    [found] = scored([{"role": "user", "content": "Ring the bell.", "tool_calls": None}, call]).to_dicts()
    assert found["response_words"] == 3


def test_no_text_makes_a_signal_that_breaks_the_schema() -> None:
    strange = [
        "",
        " ",
        "\n\n\n",
        "\x00",
        "😀",
        "…",
        "٣٤٥",
        "```",
        "a" * 5000,
        "!" * 5000,
        "东" * 300,
        "\ufeff",
        "e\u0301",
    ]
    table_of_pairs = scored(*[chat(prompt, answer) for prompt in strange for answer in strange])
    check_table(table_of_pairs, load_schema("scored"), "scored")


def turn(role: str, content: pl.Expr) -> pl.Expr:
    absent = [pl.lit(None, pl.String).alias(name) for name in ("reasoning_content", "tool_calls")]
    return pl.struct(pl.lit(role).alias("role"), content.alias("content"), *absent)


@pytest.mark.slow
def test_the_findings_in_the_answers_of_alpaca_stay_what_they_were_when_each_was_read() -> None:
    raw = pl.read_json(gzip.decompress(shared_data("alpaca/alpaca_data.json.gz").read_bytes()))
    asked = (
        pl.when(pl.col("input") == "")
        .then("instruction")
        .otherwise(pl.concat_str("instruction", "input", separator="\n\n"))
    )
    rows = raw.select(
        task=pl.lit(None, pl.String), messages=pl.concat_list(turn("user", asked), turn("assistant", pl.col("output")))
    )
    found = transform(rows, params=ScoreParams()).scored
    counts = found.select(
        pl.col("refusal_phrase", "template_leak").count(), pl.col("ends_unfinished", "placeholder_input").sum(),
        empty=(pl.col("response_chars") == 0).sum(), loops=(pl.col("repeated_trigram_share") > 0.8).sum(),
    )  # fmt: skip
    assert counts.row(0) == (33, 113, 30, 669, 28, 0)
