"""Texts that a question points at and that are not there, in many languages, and marks of many models' templates."""

from rows import chat, row_id, table
from stages.score.stage import ScoreParams
from stages.score.transform import transform

MISSING = [
    "Fix the grammar in this sentence.", "Find the errors in this code.", "Debug this code", "What does this function do?",
    "Explain this code snippet.", "What is wrong with the following SQL query?", "Make this email more polite",
    "What is the sentiment of this review?", "According to the passage, what did he do?", "Shorten the text.",
    "Here is the text I want you to summarize:", "Paraphrase the following", "Convert the following measurement.",
    "Generate a title for the given article.", "Which of the following is a mammal?", "Rank the following movies.",
    "Resume el siguiente texto.", "Traduisez la phrase suivante en anglais.", "Fasse den folgenden Text zusammen.",
    "Riassumi il seguente testo.", "Resuma o texto a seguir.", "Vat de volgende tekst samen.", "Обобщите следующий текст.",
    "次の文章を要約してください。", "다음 글을 요약해 주세요.", "لخص النص التالي", "निम्नलिखित पाठ का सारांश दें", "Streszcz poniższy tekst.",
    "Aşağıdaki metni özetle.", "Tóm tắt đoạn văn sau.", "Ringkas teks berikut.",
]  # fmt: skip
NOT_MISSING = [
    "Create a list for the following year.", "What happened on the following day?", "According to NATO's article 5, who helps?",
    "Which of the following is a mammal: a dog or a fish?", "Which of the following is a mammal, a dog or a fish?",
    "Reverse a string, a number given, and return the given string the number of times.", "Make this work for me.",
    "Traduce el siguiente texto: Hola, amigos.", "Übersetze den folgenden Satz: Brot ist gut.", "次の文を翻訳してください：パンは美味しい。",
    "What does the code of Hammurabi say?", "Translate the following: bread",
]  # fmt: skip
LEAKS = [
    "<|reserved_special_token_5|>", "[EOS]", "[gMASK]", "[TOOL_CALLS]", "<extra_id_0>", "<unused0>", "<0x0A>", "<eoa>",
    "<end_of_utterance>", "<fim_prefix>", "<human>:", "[|AI|]", "### User:", "USER:",
]  # fmt: skip


def signal(name: str, pairs: list[tuple[str, str]]) -> list[str | None]:
    rows = [{"row_id": row_id(str(number)), "messages": chat(*pair)} for number, pair in enumerate(pairs)]
    return transform(table("unique", rows), params=ScoreParams()).scored[name].to_list()


def test_a_text_that_is_pointed_at_is_missing_in_any_language() -> None:
    found = signal("missing_text", [(prompt, "Bread.") for prompt in MISSING])
    assert [prompt for prompt, words in zip(MISSING, found, strict=True) if not words or words not in prompt] == []


def test_what_is_there_is_not_missing() -> None:
    found = signal("missing_text", [(prompt, "Bread.") for prompt in NOT_MISSING])
    assert [(prompt, words) for prompt, words in zip(NOT_MISSING, found, strict=True) if words] == []


def test_marks_of_other_templates_leak() -> None:
    answers = [f"Mix and bake. {mark} And then? ASSISTANT: Eat it." for mark in LEAKS]
    assert signal("template_leak", [("How?", answer) for answer in answers]) == LEAKS
