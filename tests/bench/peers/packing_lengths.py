"""The tokens of each row, written beside the corpus."""

import json

import numpy as np
from jinja2 import Environment
from tokenize_ceiling import TEMPLATE
from tokenize_timing import asked, messages_of
from transformers import PreTrainedTokenizerFast


def main() -> None:
    corpus, folder, _ = asked()
    template = Environment().from_string(TEMPLATE)
    texts = [template.render(messages=messages) for messages in messages_of(corpus)]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder).backend_tokenizer
    lengths = [len(encoding) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    np.save(corpus.parent / "lengths.npy", np.asarray(lengths))
    print(json.dumps({"lengths": str(corpus.parent / "lengths.npy")}))


if __name__ == "__main__":
    main()
