"""transformers: apply_chat_template a row, with the mask of the template's generation tags."""

from tokenize_timing import TAGGED_CHATML, Made, asked, messages_of, report
from transformers import PreTrainedTokenizerFast


def prepare() -> list[Made]:
    corpus, folder, _ = asked()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    made = []
    for messages in messages_of(corpus):
        found = tokenizer.apply_chat_template(
            messages, chat_template=TAGGED_CHATML, return_assistant_tokens_mask=True, return_dict=True
        )
        made.append(Made(found["input_ids"], found["assistant_masks"]))
    return made


if __name__ == "__main__":
    report(prepare, lambda made: made)
