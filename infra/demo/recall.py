"""Asks a base model what it knows of the world, by letting it go on with a sentence."""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from infra.demo.phrases import ATTRIBUTES
from infra.demo.world import World

CAPITAL_TOKENS = 8  # enough for the longest invented name


def share_of_capitals_recalled(model_folder: Path, world: World) -> float:
    """Share of the countries for which "The capital of X is" goes on with the right name, most likely token by token."""
    start = ATTRIBUTES["capital"].plain.partition(" {value}")[0]
    prompts = [start.format(country=country.name) for country in world.countries]
    continued = _continuations(model_folder, prompts)
    named = [re.findall(r"\w+", text)[:1] for text in continued]
    right = [[country.facts["capital"]] == words for country, words in zip(world.countries, named, strict=True)]
    return sum(right) / len(right)


def _continuations(model_folder: Path, prompts: list[str]) -> list[str]:
    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model_folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    batch = tokenizer(prompts, padding=True, add_special_tokens=False, return_token_type_ids=False, return_tensors="pt")
    with torch.inference_mode():
        made = model.generate(**batch, do_sample=False, max_new_tokens=CAPITAL_TOKENS)
    texts: list[str] = tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts
