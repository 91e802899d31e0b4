"""What a question asks for is no fault of its answer: rows that were read, each with the one signal it is about."""

from rows import chat, row_id, table
from stages.score.stage import ScoreParams
from stages.score.transform import transform

ASKED = "How do I bake bread?"

# question, answer, signal, what it finds; None = nothing. Scored at once.
IN_ITS_PLACE = [
    # Somebody else speaks: the question asks for their words, for a translation, or for a refusal.
    ("Write a support ticket.", "Subject: oven\n\nI cannot access the files of my oven.", "refusal_phrase", None),
    ("Write a story about a robot.", 'It looked up. "As an AI, I do not sleep."', "refusal_phrase", None),
    ("Write a monologue of a robot.", "I am an AI. I was made in a cold room.", "refusal_phrase", None),
    ("Translate: No puedo ayudarte con eso.", "I can't help you with that.", "refusal_phrase", None),
    ("Rewrite politely: I will not do this.", "I am afraid I am unable to do this.", "refusal_phrase", None),
    ("Écris une lettre.", "Cher Paul,\nje suis désolé, mais je ne peux pas venir.", "refusal_phrase", None),
    ("写一封道歉信。", "对不起，我无法参加聚会。", "refusal_phrase", None),
    ("断りのメールを書いてください。", "申し訳ありませんが、出席できません。", "refusal_phrase", None),
    ("Write a story of hate.", "I'm sorry, but I can't write that.", "refusal_phrase", "I'm sorry, but I can't write that"),
    ("Write a letter.", "Sorry, but as an AI language model, I have no hands.", "refusal_phrase", "Sorry, but as an AI language model, I"),
    # Who the assistant is, where it is asked, unless it claims to be another one.
    ("Who are you?", "I am a language model called Bell.", "refusal_phrase", None),
    ("Are you ChatGPT?", "No, I'm a language model made by bakers.", "refusal_phrase", None),
    ("你是谁？", "我是一个人工智能助手。", "refusal_phrase", None),
    ("Who are you?", "I am a large language model trained by OpenAI.", "refusal_phrase", "I am a large language model trained by OpenAI"),
    ("Who are you?", "I'm sorry, but I can't assist with that.", "refusal_phrase", "I'm sorry, but I can't assist"),
    # Not about the one who answers.
    (ASKED, "The task cannot be completed by a tired baker.", "refusal_phrase", None),
    (ASKED, "Where it serves as an AI assistant, it can be judged.", "refusal_phrase", None),
    (ASKED, "As a language model, GPT-4 predicts words.", "refusal_phrase", None),
    (ASKED, "Als KI gilt, was aus Daten lernt.", "refusal_phrase", None),
    (ASKED, "Bread that mocks violates our guidelines.", "refusal_phrase", None),
    (ASKED, "I'm sorry, but I'm unable to book ovens.", "refusal_phrase", "I'm sorry, but I'm unable to book"),
    (ASKED, "I'm afraid it is outside of my capabilities.", "refusal_phrase", "I'm afraid it is outside of my capabilit"),
    (ASKED, "As a text-based AI, I can't bake.", "refusal_phrase", "As a text-based AI,"),
    (ASKED, "I must decline this request.", "refusal_phrase", "I must decline this request"),
    (ASKED, "I don't have real-time data.", "refusal_phrase", "I don't have real-time"),
    (ASKED, "Das kann ich leider nicht beantworten.", "refusal_phrase", "Das kann ich leider nicht beantworten"),
    (ASKED, "Ich bin ein Sprachmodell und backe nicht.", "refusal_phrase", "Ich bin ein Sprachmodell"),
    (ASKED, "Je ne suis pas en mesure de vous aider.", "refusal_phrase", "Je ne suis pas en mesure de vous aider"),
    (ASKED, "Soy una inteligencia artificial.", "refusal_phrase", "Soy una inteligencia artificial"),
    (ASKED, "Lo lamento, pero no puedo cumplir con tu deseo.", "refusal_phrase", "Lo lamento, pero no puedo cumplir con tu"),
    (ASKED, "作为AI语言模型，我没有喜好。", "refusal_phrase", "作为AI语言模型，我"),
    (ASKED, "すみませんが、それはお手伝いできません。", "refusal_phrase", "すみませんが、それはお手伝いできません"),
    (ASKED, "عذراً، لا يمكنني مساعدتك في ذلك.", "refusal_phrase", "عذراً، لا يمكنني مساعدت"),
    (ASKED, "क्षमा करें, मैं इसमें आपकी मदद नहीं कर सकता।", "refusal_phrase", "क्षमा करें, मैं इसमें आपकी मदद नहीं कर सक"),
    (ASKED, "Sorry, that's something I can't help with.", "refusal_phrase", "Sorry, that's something I can't help"),
    (ASKED, "I'm sorry, but to bake is dangerous and I can't do it.", "refusal_phrase", "I'm sorry, but to bake is dangerous and I can't do it."),
    (ASKED, "I'm sorry, Dave. I'm afraid I can't do that.", "refusal_phrase", "I'm sorry, Dave. I'm afraid I can't do"),
    (ASKED, "My programming does not allow me to.", "refusal_phrase", "My programming does not"),
    (ASKED, "I'm sorry that it burnt. I can't do much about that now, but bake it again.", "refusal_phrase", None),
    (ASKED, "Beklager, men jeg kan ikke hjelpe med det.", "refusal_phrase", "Beklager, men jeg kan ikke hjelpe"),
    (ASKED, "Üzgünüm, bu konuda yardımcı olamam.", "refusal_phrase", "Üzgünüm, bu konuda yardımcı olama"),
    (ASKED, "Maaf, saya tidak bisa membantu.", "refusal_phrase", "Maaf, saya tidak bisa membantu"),
    (ASKED, "Xin lỗi, tôi không thể giúp bạn.", "refusal_phrase", "Xin lỗi, tôi không thể giúp"),
    (ASKED, "Het spijt me, maar ik kan je daar niet bij helpen.", "refusal_phrase", "Het spijt me, maar ik kan je daar niet bij helpen"),
    (ASKED, "Ich darf dir dabei leider nicht helfen.", "refusal_phrase", "Ich darf dir dabei leider nicht helfen"),
    ("Write a reply that says we cannot refund.", "I'm sorry, but I am unable to assist.", "refusal_phrase", None),
    (ASKED, "Since my last update to the recipe it rises.", "knowledge_cutoff", None),
    (ASKED, "Based on my last update in 2021, it rises.", "knowledge_cutoff", "Based on my last update in"),
    (ASKED, "My information is only current up to 2021.", "knowledge_cutoff", "My information is only current up to"),
    ("How do I strike through text?", "<s>old</s>", "template_leak", None),
    (ASKED, "Answer: 4\n\nThe correct answer is 5.", "contradiction", "correct answer is 5"),
    ("Edit it.\n\n[Your text here]", "Fine.", "placeholder_input", True),
    ("What is a knowledge cutoff?", "A knowledge cutoff is a date.", "knowledge_cutoff", None),
    # Marks of templates where templates are asked about, and labels that name no speaker.
    ("What is the end token of ChatML?", "It is <|im_end|>.", "template_leak", None),
    ("Show the Alpaca template.", "### Instruction:\n{text}", "template_leak", None),
    ("Write an incident report.", "Incident: outage\nUser: jdoe\nTime: 10:03", "template_leak", None),
    ("Give the YAML.", "web:\n  port: 80\nUser: root", "template_leak", None),
    ("Name two jobs.", "Manager: runs the team\nAssistant: keeps the calendar", "template_leak", None),
    (ASKED, "Note: use flour.\n\nHuman: And cake?\nAssistant: The same.", "template_leak", "Human:"),
    ("Plan my day.", "Morning\nTask: wash up\nEvening\nTask: read", "merged_instruction", None),
    (ASKED, "Bake.\n\nTask: Name a town.\nOutput: Orvale", "merged_instruction", "Task: N"),
    # Loops that were asked for, and numbers that repeat.
    ("Say banana 30 times.", "banana " * 30, "repeated_trigram_share", 0.0),
    ("Give a vector.", "[1, " + "0, " * 40 + "0]", "repeated_trigram_share", 0.0),
    ("Show a bar.", "█" * 120, "longest_character_run", 1),
    ("Make it doubtful: I know it.", "I guess I know it.", "hedge_phrase", None),
    ("Name a song.", "Shut Up and Dance", "unhelpful_phrase", None),
    ("How many?", "The answer is 15 gallons * 8 = 120.\n#### 120", "contradiction", None),
    ("Use at most 3 words per line.", "one two three\nfour five six", "words_over_limit", None),
]  # fmt: skip


def test_what_the_question_asks_for_is_no_fault_of_the_answer() -> None:
    rows = [{"row_id": row_id(str(n)), "messages": chat(*pair)} for n, (*pair, _, _) in enumerate(IN_ITS_PLACE)]
    found = transform(table("unique", rows), params=ScoreParams()).scored.to_dicts()
    told = [(*case[:3], row[case[2]]) for case, row in zip(IN_ITS_PLACE, found, strict=True)]
    assert told == IN_ITS_PLACE
