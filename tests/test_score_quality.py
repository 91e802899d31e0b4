"""The signals of `score` about form, promises, languages, leaks and characters: given a question and its answer."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rows import chat, row_id, table
from stages.schema import load_schema
from stages.score.arithmetic import wrong_equation
from stages.score.stage import ScoreParams
from stages.score.transform import COLUMNS, transform

QUALITIES = (
    "correctness", "diversity", "format consistency", "appropriate length", "helpful tone", "no contradictions",
)  # fmt: skip


def scored(*conversations: list[dict[str, Any]], **columns: Any) -> pl.DataFrame:
    rows = [{"row_id": row_id(str(n)), "messages": messages} | columns for n, messages in enumerate(conversations)]
    return transform(table("unique", rows), params=ScoreParams()).scored


def signals(prompt: str, answer: str, **columns: Any) -> dict[str, Any]:
    return scored(chat(prompt, answer), **columns).row(0, named=True)


def test_the_schema_has_each_signal_in_the_same_order_and_one_for_each_quality() -> None:
    described = {column.name: column.description for column in load_schema("scored").columns}
    assert [name for name in described if name not in load_schema("unique").dtypes] == list(COLUMNS)
    assert len(COLUMNS) >= 30
    for quality in QUALITIES:
        assert any(f"({quality})" in text for text in described.values()), quality


@pytest.mark.parametrize(
    ("answer", "equation"),
    [
        ("3 + 4 = 8", "3 + 4 = 8"),
        ("Thus 108/6 = 18.5.", "108/6 = 18.5"),
        ("So 2 + 3 * 4 = 20, right?", "2 + 3 * 4 = 20"),
        ("First 5 + 5 = 10, then 10 - 3 = 6.", "10 - 3 = 6"),
        ("It costs $1,000 + $5 = $1,006", "$1,000 + $5 = $1,006"),
        ("3 + 4 = 7", None),
        ("2 + 3 * 4 = 14", None),
        ("1/3 = 0.33", None),  # rounded
        ("7 ÷ 2 = 3.5", None),
        ("10/3 = 3", None),  # whole division
        ("2x + 3 = 8", None),  # a variable
        ("y - 3 + 4 = 8", None),
        ("1/6 x 1/52 = 1/312", None),  # the result goes on
        ("5:30 + 2 = 7:30", None),
        ("a 1/2 = 12", None),
        ("0 / 0 = 1", None),
        ("1) 3 + 4 = 8\n(1/2) 20 + 11 = 150 points, and 1 1/2 * 60 = 90.", "3 + 4 = 8"),
        ("In all 5 * 3 = $15,000, 100 * 0.75 = $0.75, 500 + 500 = 1 kg and 192 * 100 = $1920", "192 * 100 = $1920"),
        ("1. 5 x 9 =\n2. 9 x 5 =\n3. 1 x 1 =", None),
    ],
)
def test_a_sum_that_does_not_hold_is_quoted(answer: str, equation: str | None) -> None:
    assert signals("Go on.", answer)["wrong_equation"] == equation


def test_a_wrong_sum_that_the_question_states_is_not_the_answers_fault() -> None:
    assert signals("Is 3 + 8 = 10 true?", "No, 3 + 8 = 10 is false.")["wrong_equation"] is None


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 99), min_size=2, max_size=4),
    st.lists(st.sampled_from("+-*"), min_size=3, max_size=3),
    st.integers(-3, 3),
)
def test_sums_of_whole_numbers_are_judged_as_python_judges_them(numbers: list[int], signs: list[str], off: int) -> None:
    left = " ".join(f"{n} {sign}" for n, sign in zip(numbers, signs, strict=False)).rsplit(" ", 1)[0]
    left = f"{left} {signs[-1]} {numbers[-1]}" if len(numbers) > len(signs) else left
    terms = left.split()
    if len(terms) < 3:
        return
    result = eval(left) + off
    [found] = wrong_equation(pl.Series([""]), pl.Series([f"{left} = {result}"]))
    assert (found is None) == (off == 0), f"{left} = {result}"


@pytest.mark.parametrize(
    ("prompt", "answer", "task", "expected"),
    [
        ("Write a Python function that adds.", "def add(a, b):\n    return a + b", None, "code"),
        ("Fix it", "```js\nlet x = 1\n```", None, "code"),
        ("How many apples are 3 and 4?", "7", None, "math"),
        ("Janet has 16 eggs.", "She sells 16 - 3 = 13.", None, "math"),
        ("Summarize the text.\n\nThe Lun is long and grey.", "A long river.", None, "extraction"),
        ("What is love?", "Care.", None, "chat"),
        ("Write a short poem about SQL.", "Roses are read.", None, "chat"),
        ("What is 12*7?", "84", None, "math"),
        ("What is 3 plus 4?", "7", None, "math"),
        ("What is 9/11?", "A day in 2001.", None, "chat"),
        ("What is love?", "Care.", "information_extraction", "extraction"),
        ("What is love?", "Care.", "coding", "code"),
        ("总结下面的文章：\n\n河流很长。", "河很长。", None, "extraction"),
    ],
)
def test_the_task_type_follows_the_label_and_then_the_words(
    prompt: str, answer: str, task: str | None, expected: str
) -> None:
    assert signals(prompt, answer, task=task)["task_type"] == expected


def test_documents_and_calls_of_tools_are_other_tasks_without_a_form() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": '[{"name": "ring"}]'}
    ask = {"role": "user", "content": "Ring.", "tool_calls": None}
    found = scored([{"role": "text", "content": "Once."}], [ask, call]).select("task_type", "answer_format")
    assert found.rows() == [("other", None), ("other", None)]


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ('{"a": 1}', "json"), ('```json\n[\n {"a": 1}\n]\n```', "json"), ("[1, 2, 3]", "json"), ("- a\n- b", "list"),
        ("1. a\n2. b", "list"), ("42", "number"), ("$1,000.50", "number"), ("Paris.", "one_word"), ("", "empty"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table"), ("a | b\n---- | ----\n1 | 2", "table"),
        ("It rains. It pours.", "prose"), ("东京是首都", "prose"), ("[note] see below", "prose"),
        ("import os\nprint(os.name)", "code"),
    ],
)  # fmt: skip
def test_the_form_of_an_answer(answer: str, form: str) -> None:
    assert signals("Go on.", answer)["answer_format"] == form


@pytest.mark.parametrize(
    ("prompt", "answer", "mismatch"),
    [
        ("List two rivers in JSON.", "Lun and Orva", True),
        ("List two rivers in JSON.", '["Lun", "Orva"]', False),
        ("Convert this JSON to YAML: {}", "{}", None),
        ("Give me a bulleted list of rivers.", "Lun, Orva", True),
        ("Name rivers as a bulleted list.", "Lun, Orva", True),
        ("Answer in one word: who rules?", "The queen rules.", True),
        ("Create a table showing rivers.", "a | b\n---|---\n1 | 2", False),
        ("Create a table of contents.", "1. Rivers", None),
        ("Is it deep? Answer yes or no.", "It depends on the season.", True),
        ("Is it deep? Answer with only yes or no.", "Yes, it is.", False),
        ('Respond with "true" or "false": the Lun is deep.', "The claim is false.", False),
        ("Name rivers.", "Lun", None),
    ],
)
def test_an_answer_without_the_form_asked_for_is_a_mismatch(prompt: str, answer: str, mismatch: bool | None) -> None:
    assert signals(prompt, answer)["format_mismatch"] is mismatch


@pytest.mark.parametrize(
    ("prompt", "answer", "over"),
    [
        ("Tell it in at most 3 words.", "one two three four five", 2),
        ("Tell it in 3 words or less.", "one two", 0),
        ("Tell it in not more than three words.", "one two three four five", 2),
        ("Keep it below 3 words.", "one two three four", 1),
        ("Write no less than 3 words.", "one two three four five", None),
        ("Tell it.", "one two", None),
    ],
)
def test_words_over_the_limit_that_the_question_sets(prompt: str, answer: str, over: int | None) -> None:
    assert signals(prompt, answer)["words_over_limit"] == over


def test_items_that_a_list_lacks() -> None:
    assert signals("List five rivers.", "1. Lun\n2. Orva\n3. Tess")["missing_items"] == 2
    assert signals("What are five long rivers?", "1. Lun\n2. Orva\n3. Tess")["missing_items"] == 2
    assert signals("Could you please name 3 rivers?", "- Lun\n- Orva")["missing_items"] == 1
    assert signals("List 2 rivers.", "- Lun\n- Orva\n- Tess")["missing_items"] == 0
    assert signals("List five rivers.", "Lun, Orva")["missing_items"] is None


@pytest.mark.parametrize(
    ("prompt", "answer", "found"),
    [
        ("Is it?", "Yes, it is. No, it is not.", "no,"),
        ("Is it?", "No, it isn't. Actually, yes, it is.", "actually, yes,"),
        ("Is it?", "Yes, it is. There is no doubt.", None),
        ("Is it?", "Right, some say. Wrong, say others. It depends on the tide.", None),
        ("Should I go?", "Yes, if the pay matters to you. No, if you value free time.", None),
        ("Can I park here?", "Yes, on weekdays. No, on Sundays.", None),
        ("Ist es so?", "Ja, es ist so. Nein, es ist nicht so.", "nein,"),
        ("¿Lo es?", "Sí, lo es. No, no lo es.", "no,"),
        ("Est-ce vrai ?", "Oui, c'est vrai. Non, c'est faux.", "non,"),
        ("How many?", "The answer is 12, so the final answer is 13.", "final answer is 13"),
        ("How many?", "The answer is 1,200.\n#### 1200", None),
        ("How many?", "The result is 3 for boats. The result is 4 for carts.", None),
        ("How many? And how long?", "The answer is 12. The answer is 13.", None),
    ],
)
def test_taking_back_a_verdict_or_a_result_is_a_contradiction(prompt: str, answer: str, found: str | None) -> None:
    assert signals(prompt, answer)["contradiction"] == found


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("作为一个人工智能助手，我无法品尝。", "作为一个人工智能助手"),
        ("Como modelo de lenguaje, no puedo.", "Como modelo de lenguaje"),
        ("En tant que modèle de langage, je ne peux pas.", "En tant que modèle de langage"),
        ("Als Sprachmodell kann ich das nicht.", "Als Sprachmodell"),
        ("Las casas son altas como torres.", None),
    ],
)
def test_refusals_in_other_languages(answer: str, phrase: str | None) -> None:
    assert signals("?", answer)["refusal_phrase"] == phrase


def test_words_about_what_a_model_knows_are_quoted() -> None:
    found = signals("?", "As of my last update in September 2021, the tower stands.")
    assert found["knowledge_cutoff"] == "As of my last update in"
    assert signals("?", "My last update of the page was late.")["knowledge_cutoff"] is None


def test_a_second_instruction_in_an_answer_is_found_unless_the_question_is_about_instructions() -> None:
    answer = "The Lun.\n\n18. Instruction: Name a town.\nOutput: Orvale"
    assert signals("Name a river.", answer)["merged_instruction"] == "18. Instruction: N"
    assert signals("Write two instructions.", answer)["merged_instruction"] is None
    assert signals("Bake.", "Flour.\n\nInstructions:\n1. Mix.")["merged_instruction"] is None


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("Edit the following sentence.", "following sentence"),
        ("Summarize this article.", "this article"),
        ("将以下文章评分。", "以下文章"),
        ("Based on the attached document, what are the main risks?", "the attached document"),
        ("What is wrong in the attached image?", "the attached image"),
        ("Please review the uploaded PDF and list its key points.", "the uploaded PDF"),
        ("See the file I uploaded and fix the errors.", "the file I uploaded"),
        ("Can you summarise the document attached?", "the document attached"),
        ("Describe the picture below.", "picture below"),
        ("Analysiere das angehängte Dokument.", "angehängte Dokument"),
        ("Resume el documento adjunto.", "documento adjunto"),
        ("Résumez le document ci-joint.", "document ci-joint"),
        ("请总结附件中的文档。", "附件中的"),
        ("Write an email asking a colleague to review the attached document.", None),
        ("How do I open an attached file in Outlook?", None),
        ("Summarize the attached document: The harbour was built in 1850.", None),
        ("Describe the attached earlobe trait in genetics.", None),
        ("Edit the following sentence: He go.", None),
        ("Edit the following sentence.\n\nHe go.", None),
        ("Is the following statement true? Cats bark.", None),
        ("Write a function that reverses the given string.", None),
    ],
)
def test_a_question_that_points_at_a_text_that_is_not_there(prompt: str, found: str | None) -> None:
    assert signals(prompt, "Well.")["missing_text"] == found


def test_hedging_counts_at_the_beginning_and_insults_anywhere() -> None:
    found = signals("?", "I'm not sure. That's a stupid question.")
    assert (found["hedge_phrase"], found["unhelpful_phrase"]) == ("I'm not sure", "That's a stupid question")
    assert signals("?", "She said that she was not sure.")["hedge_phrase"] is None
