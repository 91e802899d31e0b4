"""Greedy answers of a model to many prompts at once."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import GenerationConfig, PreTrainedModel

from stages.contract import Progress
from stages.errors import ConfigError
from stages.modelling.chat_template import ChatTokenizer
from stages.modelling.tokenizer_files import GENERATION_CONFIG


class Answer(NamedTuple):
    """What a model wrote, without the token that ended it."""

    ids: list[int]
    stopped: bool  # it ended by itself, within the tokens it was given


def answer_prompts(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], settings: GenerationConfig, *, batch_tokens: int,
    progress: Progress,
) -> list[Answer]:  # fmt: skip
    """The most likely answer, token by token, to each prompt, in the order of `prompts`.

    `settings` are `greedy(…)`; what the model's own folder says about sampling and penalties is left aside, so that
    base and tuned model differ in their weights only.
    """
    model.generation_config = settings
    answers: dict[int, Answer] = {}
    for places in _batches(prompts, settings.max_new_tokens, batch_tokens):
        written = _generate(model, [prompts[place] for place in places], settings)
        answers |= {place: _end(ids, settings.eos_token_id) for place, ids in zip(places, written, strict=True)}
        progress(len(answers), len(prompts), "answers")
    return [answers[place] for place in range(len(prompts))]


def greedy(stop_ids: Sequence[int], max_new_tokens: int) -> GenerationConfig:
    """Settings for the most likely answer that ends with any of `stop_ids`."""
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stop_ids),
        pad_token_id=stop_ids[0],
        use_cache=True,
    )


def stop_ids_of(folder: Path, chat: ChatTokenizer) -> list[int]:
    """The tokens that end an answer of the model in `folder`: those it was saved with, else the tokenizer's end token."""
    path = folder / GENERATION_CONFIG
    stated = json.loads(path.read_bytes()).get("eos_token_id") if path.is_file() else None
    if isinstance(stated, int):
        return [stated]
    if stated:
        return [int(token) for token in stated]
    if chat.end_token is None:
        raise ConfigError(
            f"{folder} names no token that ends an answer, so no answer can stop; set eos_token_id in {GENERATION_CONFIG}"
        )
    return [chat.token_id(chat.end_token)]


def _batches(prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_tokens: int) -> Iterator[list[int]]:
    """Places of prompts of similar length, the longest first; a batch holds at most `batch_tokens` with the answers."""
    order = sorted(range(len(prompts)), key=lambda place: (-len(prompts[place]), place))
    while order:
        rows = max(1, batch_tokens // (len(prompts[order[0]]) + max_new_tokens))
        yield order[:rows]
        order = order[rows:]


@torch.inference_mode()
def _generate(model: PreTrainedModel, prompts: Sequence[Sequence[int]], settings: GenerationConfig) -> list[list[int]]:
    """The tokens written after each prompt, padding included. Prompts are filled up on the left."""
    width = max(map(len, prompts))
    pad = settings.pad_token_id
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    written = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
    )
    rows: list[list[int]] = written[:, width:].tolist()
    return rows


def _end(ids: list[int], stop_ids: Sequence[int]) -> Answer:
    for place, token in enumerate(ids):
        if token in stop_ids:
            return Answer(ids[:place], stopped=True)
    return Answer(ids, stopped=False)
