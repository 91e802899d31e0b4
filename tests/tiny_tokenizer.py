"""Builds a small byte-level BPE tokenizer in the test process: no download, any text encodes, the same ids every time."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
CHATML = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")

TEXTS = (
    "The capital of France is Paris. The capital of Italy is Rome. What is the capital of Spain? It is Madrid.",
    "You are a helpful assistant. Write a short answer to the question. Name three colours: red, green and blue.",
    "system user assistant tool\n\n12 + 30 = 42, and that is the sum. Hello! How are you today? I am fine, thank you.",
)


def make_tokenizer(
    folder: Path,
    *,
    texts: Sequence[str] = TEXTS,
    vocab_size: int = 400,
    special_tokens: Sequence[str] = CHATML,
) -> Path:
    """`folder`, now holding tokenizer.json and tokenizer_config.json of a byte-level BPE trained on `texts`.

    `special_tokens` get the ids 0, 1, …; `<|endoftext|>`, when among them, is the end and the padding token.
    No chat template and no beginning-of-text token. `AutoTokenizer.from_pretrained(folder)` loads it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    named = {"eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT} if END_OF_TEXT in special_tokens else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return folder
