"""Adapters that cannot be merged are served beside their base, as they were trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.errors import ConfigError
from stages.evaluate.answers import answer_prompts, greedy
from stages.modelling.adapters import load_adapted, token_rows
from stages.modelling.models import load_config, load_model
from tiny_merge import merge
from tiny_methods import SMALL
from tiny_model import make_model
from tiny_tokenizer import make_tokenizer
from tiny_training import random_examples, train


@pytest.mark.parametrize("method", ["prefix", "prompt", "p_tuning", "bottleneck"])
def test_what_cannot_be_merged_is_served_beside_its_base(tmp_path: Path, method: str) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    base = make_model(tmp_path / "base", tokenizer)
    trained = train(tmp_path / "run", base, random_examples(10), method=method, max_steps=3, **SMALL[method])
    model = merge(tmp_path, base, trained.adapter)
    stated = json.loads((model / "merge_certificate.json").read_text())
    assert (stated["merged"], len(stated["why_not"]) > 10) == (False, True)
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        expected = load_adapted(base, trained.adapter)(input_ids=ids).logits
        assert torch.equal(load_model(model)(input_ids=ids).logits, expected)
        assert not torch.equal(load_model(base)(input_ids=ids).logits, expected)
    assert load_config(model).vocab_size == load_config(base).vocab_size
    answers = answer_prompts(load_model(model), [[5, 6, 7], [8, 9]], greedy([2], 4), batch_tokens=100, progress=_silent)
    assert len(answers) == 2
    with pytest.raises(OSError, match=r"couldn't find them|not a valid"):
        AutoModelForCausalLM.from_pretrained(model, local_files_only=True)
    with pytest.raises(ConfigError, match="stands beside its base"):
        train(tmp_path / "again", model, random_examples(10), method="lora")


def test_bottlenecks_that_brought_new_tokens_are_served_with_them(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    bigger = make_tokenizer(tmp_path / "bigger", special_tokens=["<|endoftext|>", "<|x|>", "<|y|>"], vocab_size=403)
    base = make_model(tmp_path / "base", tokenizer)
    trained = train(
        tmp_path / "run", base, random_examples(10), tokenizer=bigger, method="bottleneck", max_steps=3,
        **SMALL["bottleneck"],
    )  # fmt: skip
    model = merge(tmp_path, base, trained.adapter)
    tokens = len(AutoTokenizer.from_pretrained(bigger))
    assert token_rows(model) == tokens > token_rows(base)
    ids = torch.arange(tokens - 10, tokens)[None]
    with torch.no_grad():
        expected = load_adapted(base, trained.adapter, tokens=tokens)(input_ids=ids).logits
        assert torch.equal(load_model(model)(input_ids=ids).logits, expected)


def _silent(*_: Any, **__: Any) -> None:
    pass
