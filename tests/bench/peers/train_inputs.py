"""Makes what both trainers of the benchmark read, with this project's own stages."""

import json
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tokenize_temper import read_rows
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from train import FEED_FORWARD, HEADS, HIDDEN, LAYERS, VOCABULARY

from stages.tokenize.preparation import fit
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.transform import transform
from stages.train.examples import Examples, read_examples
from stages.train.packing import StepOrder
from stages.train.stage import TrainParams

NO_LABEL = -100


def main() -> None:
    folder, corpus, tokenizer = map(Path, sys.argv[1:4])
    params = TrainParams(**json.loads(sys.argv[4]))
    words = TokenizeParams(tokenizer=str(tokenizer), template="chatml", max_tokens=params.pack_tokens)
    fit(words).tokenizer.save_pretrained(folder / "base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=FEED_FORWARD, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, tie_word_embeddings=True, max_position_embeddings=2048,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    (folder / "examples").mkdir()
    transform(read_rows(corpus), params=words).examples.write_parquet(folder / "examples" / "part-00000.parquet")
    examples = read_examples(folder / "examples", "sft", "train")
    order = StepOrder(examples.lengths, examples.repeats, params)
    steps = [order.packs_of(step) for step in range(params.max_steps or 0)]
    packs = [pack_of(examples, members) for members in chain.from_iterable(steps)]
    pl.DataFrame(packs).write_parquet(folder / "packs.parquet")
    (folder / "packs_of_step.json").write_text(json.dumps([len(step) for step in steps]))


def pack_of(examples: Examples, members: np.ndarray) -> dict[str, list[int]]:
    """A pack as TRL's collator takes it."""
    spans = [slice(*examples.starts[member : member + 2]) for member in members]
    ids = np.concatenate([examples.input_ids[span] for span in spans])
    is_target = np.concatenate([examples.is_target[span] for span in spans])
    return {
        "input_ids": ids.tolist(),
        "labels": np.where(is_target, ids, NO_LABEL).tolist(),
        "seq_lengths": [span.stop - span.start for span in spans],
    }


if __name__ == "__main__":
    main()
