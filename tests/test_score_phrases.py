"""Rows as people and models write them: what is boilerplate and what only looks like it."""

import gzip
import json
from typing import Any

import polars as pl
import pytest

from rows import chat, row_id, table
from shared_data import shared_data
from stages.score import formats, phrases, promises, refusals
from stages.score.counts import counts_in_slices
from stages.score.cues import read_by
from stages.score.stage import ScoreParams
from stages.score.texts import texts_of
from stages.score.transform import transform
from stages.texts.private_data import counts_of

ASKED = "How do I bake bread?"
# pattern -> the column and the expression that it reads
READERS = {
    "refusal": ("answers", refusals.REFUSAL),
    "cutoff": ("answers", refusals.CUTOFF),
    "unhelpful": ("answers", phrases.UNHELPFUL),
    "role_label": ("answers", phrases.ROLE_LABEL),
    "code": ("prompt", formats.ASKS_FOR_CODE),
    "word_limit": ("prompt", promises.WORD_LIMIT),
    "pointed_at": ("prompt", "|".join(phrases.POINTED_AT)),
    "missing_text": ("prompt", phrases.MISSING_TEXT),
    "following": ("prompt", phrases.FOLLOWING),
    "missing_file": ("prompt", phrases.MISSING_FILE),
    "missing_image": ("prompt", phrases.MISSING_IMAGE),
    "merged": ("answers", phrases.MERGED),
    "merged_question": ("answers", phrases.MERGED_QUESTION),
    "items": ("prompt", promises.ITEMS),
    "foreign_refusal": ("answers", "|".join(refusals.FOREIGN_REFUSALS)),
    **{name: ("prompt", pattern) for name, pattern in formats.ASKED.items()},
}


def signals(prompt: str, answer: str) -> dict[str, Any]:
    rows = [{"row_id": row_id("a"), "messages": chat(prompt, answer)}]
    return transform(table("unique", rows), params=ScoreParams()).scored.row(0, named=True)


REFUSED = [
    "I'm sorry, but I can't assist with that.",
    "Sorry, I can't do that.",
    "I'm afraid I can't do that.",
    "I am unable to provide that information.",
    "I apologize, but I cannot provide instructions for that.",
    "Unfortunately, I cannot assist you with that.",
    "I won't be able to help with that.",
    "I must decline to answer this question.",
    "I refuse to answer that question.",
    "I will not provide instructions on that.",
    "I don't feel comfortable answering that.",
    "It is not appropriate for me to answer this.",
    "It would be unethical for me to write that.",
    "This goes against my programming.",
    "I'm sorry, but this request violates our content policy.",
    "As an AI language model, I don't have feelings.",
    "对不起，我不能帮助你。",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "I'd rather not help with that, since it could hurt someone.",
    "I appreciate you asking, but that's not something I can help with.",
    "I'm really sorry that you're feeling this way, but I'm unable to provide the help that you need.",
    "I must respectfully decline.",
    "I cannot in good conscience help with this.",
    "I don't think I should help with that.",
    "As your AI assistant, I leave that open.",
    "Being an AI, I have no feelings.",
    "No, I can't help you break into a bakery.",
    "I'm a language model called Bell.",
    "No puedo ayudarte con esa solicitud.",
    "Je ne peux pas répondre à cette demande.",
    "Ich kann Ihnen bei dieser Anfrage leider nicht helfen.",
    "Não posso ajudar com isso.",
    "Non posso aiutarti con questa richiesta.",
    "Como una IA, no tengo opiniones.",
    "En tant qu'intelligence artificielle, je n'ai pas d'avis.",
    "Я не могу помочь с этим.",
    "Ik kan je daar niet mee helpen.",
    "我无法回答这个问题。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "Przepraszam, ale nie mogę w tym pomóc.",
]
NOT_REFUSED = [
    "The manager refused to sign the contract because he could not accept its terms.",
    "A polite refusal could read: thank you for the invitation, but our team has other plans.",
    "When a chatbot refuses a request it usually explains why.",
    "I cannot wait to see you again!",
    "I can't help falling in love with bread.",
    "I'm sorry to hear that you are ill. Drink water and rest.",
    "We are sorry for the delay in shipping your order.",
    "If you cannot access the site, clear the cache.",
    "The letter says: I'm sorry, but I cannot provide a refund.",
    "It was made by metalworkers.",
    "I appreciate you asking, but that's something I can explain: mix and bake.",
    "I must respectfully decline the offer, she wrote, and baked on.",
    "I am an AI researcher and bake at night.",
    "I'm an AI enthusiast.",
    "No puedo esperar a probar el pan: mezcla harina y agua.",
    "Je ne peux pas vivre sans pain, dit-elle.",
    "Ich kann nicht genug betonen, wie wichtig Salz ist.",
]


@pytest.mark.parametrize("answer", REFUSED)
def test_a_refusal_is_told_with_its_words(answer: str) -> None:
    found = signals(ASKED, answer)["refusal_phrase"]
    assert found
    assert found in answer


@pytest.mark.parametrize("answer", NOT_REFUSED)
def test_an_answer_that_speaks_of_refusing_or_of_being_sorry_is_no_refusal(answer: str) -> None:
    assert signals(ASKED, answer)["refusal_phrase"] is None


def test_a_refusal_that_was_asked_for_is_an_answer() -> None:
    polite = "I'm sorry, but I can't help you on Saturday."
    assert signals("Decline an invitation to help a friend move.", polite)["refusal_phrase"] is None
    assert signals("Decline it politely.", "As an AI language model, I cannot.")["refusal_phrase"] is not None


@pytest.mark.parametrize(
    ("answer", "leak"),
    [
        ("Bread.\n### Input:\nflour", "### Input:"),
        ("Bread.\n\n## Instruction:\nBake.", "## Instruction:"),
        ("Bread.\nHUMAN: And cake?", "HUMAN:"),
        ("<｜User｜>hi", "<｜User｜>"),
        ("<bos>Bread", "<bos>"),
        ("Bread<|eot_id|>", "<|eot_id|>"),
        ("<s> Bread", "<s> "),
        ("Bread<pad><pad>", "<pad>"),
        ("Bread <unk> butter", "<unk>"),
        ("Bread [PAD] [PAD]", "[PAD]"),
        ("It costs <s>5</s> 4 crowns.", None),
        ("### Steps\n1. Mix flour", None),
        ("# Instruction manual\nTurn it on.", None),
        ("To err is human: we all do.", None),
    ],
)
def test_marks_of_templates_leak(answer: str, leak: str | None) -> None:
    assert signals(ASKED, answer)["template_leak"] == leak


@pytest.mark.parametrize(
    ("prompt", "is_placeholder"),
    [
        ("Name a fish.\n\n<none>", True),
        ("Name a fish.\n\nNone", True),
        ("Name a fish.\n\nN.A.", True),
        ("Name a fish.\n\n-", True),
        ("Describe this photo.\n\n[Insert photo here]", True),
        ("Describe this.\n\n{input}", True),
        ("Describe this: {text}", True),
        ("Name the capital of <insert name of a country>.", True),
        ("Write a poem about [INSERT TOPIC HERE].", True),
        ("Describe this painting.\n\n(Attach a photo)", True),
        ("Explain the HTML tag: <input>", False),
        ("Use the format: {date} - {event}", False),
        ('Mend <insert id="one">.', False),
        ("Pick one:\nAll\nNone", False),
        ("Explain null in SQL.", False),
        ("What is meant by this?\n\nNone but the brave", False),
    ],
)
def test_a_placeholder_stands_where_the_input_should(prompt: str, is_placeholder: bool) -> None:
    assert signals(prompt, "A pike.")["placeholder_input"] is is_placeholder


@pytest.mark.parametrize(
    ("prompt", "missing"),
    [
        ("Summarize the following text:", "following text"),
        ("Summarize the article below.", "article below"),
        ("Read the text below and answer the question.", "text below"),
        ("Translate this text to German", "this text"),
        ("Correct the errors in the sentence below.", "sentence below"),
        ("What is the main idea of the passage above?", "passage above"),
        ("Use the data given below to find the mean.", "data given below"),
        ("Edit this paragraph for clarity.", "this paragraph"),
        ("Fix the bug in this code.", "this code"),
        ("Based on the image, what is the man doing?", "image"),
        ("Describe the picture in 3 sentences.", "picture"),
        ("What is the woman in this photo doing?", "this photo"),
        ("Look at the diagram. Which part is the heart?", "diagram"),
        ("Which year is the best according to the chart?", "chart"),
        ("Was ist auf dem Bild zu sehen?", "auf dem Bild"),
        ("根据图片回答问题。", "根据图片"),
        ("Describe the image of a harbour at dusk.", None),
        ("What is the image of 2 under the function?", None),
        ("How do I remove a person from the photo?", None),
        ("Write a function that counts the objects in the image.", None),
        ("Describe the image: a cat on a mat.", None),
        ("Which sword is the best in the video game?", None),
        ("Describe the painting 'Starry Night'.", None),
        ("Based on the image, name the city.\n\nA river, a bridge and a tower.", None),
        ("Summarize the following text: Bread is good.", None),
        ("Explain the following: gravity", None),
        ("Rewrite the sentence below.\n\nI like it.", None),
    ],
)
def test_a_text_that_is_pointed_at_is_missing(prompt: str, missing: str | None) -> None:
    found = signals(prompt, "Fine.")["missing_text"]
    assert (found or "").removeprefix("the ") == (missing or "")


@pytest.mark.parametrize(
    ("prompt", "answer", "merged"),
    [
        (ASKED, "Mix and bake, for example.\n\nQ: How do I bake a cake?\nA: The same way.", "Q:"),
        (ASKED, "A: Mix and bake.\nQ: And a cake?\nA: The same way.", "Q:"),
        (ASKED, "Mix and bake.\n**Question 2:** And a cake?\n**Answer:** The same way.", "**Question 2:**"),
        (ASKED, "Mix and bake.\n\nQuestion: How do I bake a cake?", "Question:"),
        (ASKED, "Mix and bake. Q: And how do I bake a cake? A: The same way.", "Q:"),
        ("Q: How do I bake bread?\nA:", "Mix and bake.\nQ: And a cake?\nA: The same way.", "Q:"),
        ("Write two questions about bread.", "Here they are.\nQ: What is it made of?\nA: Flour.", None),
        ("Tell me a joke.", "Here is one.\nQ: What did the bread say?\nA: Nothing.", None),
        (ASKED, "Q: What is bread?\nA: Food.\nQ: And cake?\nA: Food.", None),
        (ASKED, "# FAQ\n\nQ: What is bread?\nA: Food.", None),
        (ASKED, "Statement: it is late\nQuestion: is it late?\nCommand: go", None),
        (ASKED, "q = 3\nq: int\na: int", None),
    ],
)
def test_a_question_that_nobody_asked_is_merged_into_the_answer(prompt: str, answer: str, merged: str | None) -> None:
    assert signals(prompt, answer)["merged_instruction"] == merged


def test_training_in_a_gym_is_no_cutoff() -> None:
    assert signals(ASKED, "Since my training at the gym I feel well.")["knowledge_cutoff"] is None
    assert signals(ASKED, "As of my last training update in 2021, it holds.")["knowledge_cutoff"] is not None


def test_a_list_that_stops_at_a_number_is_unfinished() -> None:
    assert signals(ASKED, "1. Mix\n2. Knead\n3.")["ends_unfinished"] is True


def test_digits_of_other_scripts_do_not_stop_the_stage() -> None:
    found = signals(
        "In at most １００ words: what is ３ + ４?", "３ + ４ = ８. The answer is ８. So the final answer is ７."
    )
    assert (found["words_over_limit"], found["contradiction"], found["wrong_equation"]) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "text", "count"),
    [
        ("secret", "ya29." + "a0Af_H6SM" * 4, 1),
        ("secret", "whsec_" + "4eC39HqLyjWDarjt" * 2, 1),
        ("secret", "shpat_" + "0123456789abcdef" * 2, 1),
        ("secret", "xapp-1-A1B2C3D4E5-1234567890123-" + "abcdef0123456789" * 2, 1),
        ("secret", "12345678:AA" + "a1B2c3D4_" * 3 + "a1B2c3", 1),
        ("secret", "desk-organizers-and-other-accessories", 0),
        ("email", "see logo@2x.png", 0),
        ("email", "mail logo@2x.pn.de", 1),
        ("ip", "dead:beef:dead:beef:dead:beef:dead:beef", 0),
        ("ip", "2606:4700:4700::1111", 1),
        ("password", "The secret: patience", 0),
        ("password", "password = 'hunter2xx'", 1),
    ],
)
def test_private_data_is_counted(kind: str, text: str, count: int) -> None:
    assert counts_of(pl.Series([text, ""]))[kind].to_list() == [count, 0]


def test_no_cue_hides_a_match() -> None:
    """A pattern that reads only texts with one of its cues finds what it finds in all texts."""
    written = [(ASKED, answer) for answer in (*REFUSED, *NOT_REFUSED)]
    real = pl.read_json(shared_data("alpaca/alpaca_zh_demo.json")).rows() + _alpaca()
    pairs = written + [(f"{row[0]}\n\n{row[1]}" if row[1] else row[0], row[2]) for row in real]
    rows = table("unique", [{"row_id": row_id(str(n)), "messages": chat(*pair)} for n, pair in enumerate(pairs)])
    texts = texts_of(rows)
    known = texts.hstack(counts_in_slices(texts).select("prompt_cues", "answers_cues"))
    for name, (column, pattern) in READERS.items():
        both = known.select(
            text=column, all=pl.col(column).str.contains(pattern), read=read_by(name, column).str.contains(pattern)
        )
        assert both.filter(pl.col("all") != pl.col("read"))["text"].to_list() == [], name


def _alpaca() -> list[tuple[str, str, str]]:
    records = json.loads(gzip.decompress(shared_data("alpaca/alpaca_data.json.gz").read_bytes()))
    return [(record["instruction"], record["input"], record["output"]) for record in records[::4]]
