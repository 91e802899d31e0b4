"""Tiny random model folders for tests: real architecture, real files, no download."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def make_model(folder: Path, tokenizer_folder: Path, hidden: int = 32, layers: int = 2, **config: Any) -> Path:
    """A random Llama model folder with the tokenizer's files beside it; the same arguments give the same bytes.

    `config` goes to LlamaConfig: `tie_word_embeddings=True`, `max_position_embeddings=…`, `vocab_size=…` (default: as many as
    the tokenizer has).
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokens = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    made = make_config(hidden=hidden, layers=layers, **(tokens | config))
    save_model(made, folder)
    for name in TOKENIZER_FILES:
        if (tokenizer_folder / name).exists():
            shutil.copyfile(tokenizer_folder / name, folder / name)
    return folder


def make_config(vocab_size: int, hidden: int = 32, layers: int = 2, **config: Any) -> LlamaConfig:
    """A Llama of about 20 thousand parameters: 4 heads, 2 of them for keys and values."""
    defaults: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "intermediate_size": hidden * 2,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "initializer_range": 0.1,  # random, and far enough from uniform that two tokens never have equal logits
    }
    return LlamaConfig(**(defaults | config))


def save_model(config: LlamaConfig, folder: Path, seed: int = 0) -> Path:
    """A random float32 model of that shape, saved as a model folder without a tokenizer."""
    transformers_logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder
