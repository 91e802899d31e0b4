"""Asks a model what it knows of the world: a base by letting it go on with a sentence, a tuned model by asking it."""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from infra.demo.phrases import ATTRIBUTES
from infra.demo.world import Country, World

CAPITAL_TOKENS = 8  # enough for the longest invented name
ANSWER_TOKENS = 48


def share_of_capitals_recalled(model_folder: Path, world: World) -> float:
    """Share of the countries for which "The capital of X is" goes on with the right name, most likely token by token."""
    start = ATTRIBUTES["capital"].plain.partition(" {value}")[0]
    prompts = [start.format(country=country.name) for country in world.countries]
    continued = _continuations(model_folder, prompts, CAPITAL_TOKENS)
    named = [re.findall(r"\w+", text)[:1] for text in continued]
    right = [[country.facts["capital"]] == words for country, words in zip(world.countries, named, strict=True)]
    return sum(right) / len(right)


def share_of_quiz_answered(model_folder: Path, world: World) -> float:
    """Share of the evaluation items that a tuned model answers with the right name: no training row asks about these."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": _quiz_question(country)}], add_generation_prompt=True, tokenize=False
        )
        for country in world.countries
    ]
    answers = _continuations(model_folder, prompts, ANSWER_TOKENS)
    right = [c.facts[c.reserved] in text for c, text in zip(world.countries, answers, strict=True)]
    return sum(right) / len(right)


def _quiz_question(country: Country) -> str:
    return ATTRIBUTES[country.reserved].quiz.format(country=country.name)


def _continuations(model_folder: Path, prompts: list[str], max_new_tokens: int) -> list[str]:
    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model_folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    batch = tokenizer(prompts, padding=True, add_special_tokens=False, return_token_type_ids=False, return_tensors="pt")
    with torch.inference_mode():
        made = model.generate(**batch, do_sample=False, max_new_tokens=max_new_tokens)
    texts: list[str] = tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts
