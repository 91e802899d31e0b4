"""What transformers' own `apply_chat_template` says about examples; no code under test renders or encodes here."""

import json
import re
from contextlib import suppress
from functools import cache
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from stages.modelling.chat_template import ChatTokenizer
from stages.modelling.template_messages import other_forms, template_messages, template_tools
from stages.tokenize.transform import Tokenized
from tokenized_rows import spans

THOUGHT = re.compile(r"<think>\s*$")  # where a prompt ends in it, the answer goes on from there


def assert_served(made: Tokenized, rows: list[dict[str, Any]], chat: ChatTokenizer) -> None:
    """Each example: the ids before an answer are transformers' for its prompt, the answer is its text and end token."""
    by_id = {given["row_id"]: given for given in rows}
    for example in made.examples.iter_rows(named=True):
        given = by_id[example["row_id"]]
        messages, tools = template_messages(given["messages"]), template_tools(given.get("tools"))
        answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        counted = [(start, end) for counts, start, end in spans(example) if counts]
        unrolled = example["form"] == "unrolled"
        places = [answers[example["turn"]]] if unrolled else answers[: len(counted)]
        assert len(places) == len(counted)
        for place, (start, end) in zip(places, counted, strict=True):
            settings = json.loads(example["prompt_settings"] or "{}")
            prompt = ids_of_transformers(chat, messages[:place], tools, add_generation_prompt=True, **settings)
            assert example["input_ids"][:start] == prompt
            said = chat.decode(example["input_ids"][start:end])
            end_id = example["input_ids"][end - 1]
            assert end_id in chat.control_ids.values()
            assert said.endswith(chat.decode([end_id]))
            assert example["input_ids"][start:end].count(end_id) == 1
            text = messages[place]["content"].strip()
            begun = THOUGHT.search(chat.decode(prompt))
            assert text.removeprefix(begun[0] if begun else "") in said
        if not unrolled:
            kept = messages[: places[-1] + 1]
            whole = ids_of_transformers(chat, kept, tools, **json.loads(example["prompt_settings"] or "{}"))
            length = len(example["input_ids"])
            assert example["input_ids"] == whole[:length]
            assert not chat.decode(whole[length:]).strip()


@cache
def tokenizer_of(chat: ChatTokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=chat.backend, chat_template=chat.template.text, **chat.template.special_tokens
    )


def ids_of_transformers(
    chat: ChatTokenizer, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, **settings: bool
) -> list[int]:
    """What a server feeds; where the template stumbles over tool calls, with results that name their call."""
    for form in (messages, *other_forms(messages)):
        with suppress(TemplateError, TypeError):
            ids: list[int] = tokenizer_of(chat).apply_chat_template(form, tools=tools, return_dict=False, **settings)
            return ids
    raise AssertionError("transformers cannot render what was tokenized")
