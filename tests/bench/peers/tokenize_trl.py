"""TRL: what SFTTrainer does to its data set before it can train, packing included. The model is as good as none."""

import sys
import tempfile
from collections.abc import Iterator

from datasets import Dataset, disable_caching
from tokenize_timing import TAGGED_CHATML, Made, asked, messages_of, report
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

NO_LABEL = -100


def prepare() -> Dataset:
    corpus, folder, cores = asked()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.chat_template, tokenizer.eos_token, tokenizer.pad_token = TAGGED_CHATML, "<|im_end|>", "<|endoftext|>"
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape))
    settings = SFTConfig(
        output_dir=tempfile.mkdtemp(), assistant_only_loss=True, packing=True, max_length=2048, bf16=False, use_cpu=True,
        report_to="none", save_strategy="no", dataset_num_proc=cores if cores > 1 else None, disable_tqdm=True,
    )  # fmt: skip
    data = Dataset.from_list([{"messages": messages} for messages in messages_of(corpus)])
    return SFTTrainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer).train_dataset


def rows_of(made: Dataset) -> Iterator[Made]:
    """Its packs."""
    for pack in made:
        yield Made(pack["input_ids"], [label != NO_LABEL for label in pack["labels"]])


if __name__ == "__main__":
    disable_caching()
    sys.stdout.flush()
    report(prepare, rows_of, in_order=False)
