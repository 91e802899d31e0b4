"""The least that has to be done: one compiled template, one call to encode, the answers found by offsets. Proves nothing."""

from collections.abc import Iterable

from jinja2 import Environment
from tokenize_timing import TAGGED_CHATML, Made, asked, messages_of, report
from transformers import PreTrainedTokenizerFast

TEMPLATE = TAGGED_CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")
AFTER_ANSWER = "<|im_end|>\n"


def prepare() -> list[Made]:
    corpus, folder, _ = asked()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    template = Environment().from_string(TEMPLATE)
    rows = messages_of(corpus)
    texts = [template.render(messages=messages) for messages in rows]
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    made = []
    for messages, text, encoding in zip(rows, texts, encodings, strict=True):
        answer = len(text) - len(AFTER_ANSWER) - len(messages[-1]["content"])
        ids, start = encoding.ids, encoding.char_to_token(answer)
        made.append(Made(ids, [0] * start + [1] * (len(ids) - start - 1) + [0]))
    return made


def rows_of(made: list[Made]) -> Iterable[Made]:
    return made


if __name__ == "__main__":
    report(prepare, rows_of)
