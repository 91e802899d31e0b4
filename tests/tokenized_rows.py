"""Rows for the tokenize stage, and what came out of them in words."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rows import row_id, table
from stages.modelling.chat_template import ChatTokenizer
from stages.tokenize.preparation import prepare
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.transform import Tokenized, transform

NAMES: dict[str, str] = {}  # row id -> name, of every row made here


def talk(name: str, *turns: str, system: str | None = None, **columns: Any) -> dict[str, Any]:
    """A conversation of user and assistant in turn."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    return row(name, [{"role": "system", "content": system}] * (system is not None) + messages, **columns)


def row(name: str, messages: Sequence[dict[str, Any]], **columns: Any) -> dict[str, Any]:
    """A row of the mixture with any messages."""
    NAMES[row_id(name)] = name
    return {"row_id": row_id(name), "messages": list(messages), **columns}


def document(name: str, text: str) -> dict[str, Any]:
    return row(name, [{"role": "text", "content": text}])


def call(name: str, **arguments: Any) -> str:
    """The `tool_calls` of a message that calls one function."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return json.dumps([{"id": "abcdefghi", "type": "function", "function": function}])


def tool(name: str, *arguments: str) -> str:
    """The `tools` of a conversation that offers one function."""
    parameters = {"type": "object", "properties": {argument: {"type": "string"} for argument in arguments}}
    return json.dumps([{"type": "function", "function": {"name": name, "parameters": parameters}}])


def mixture(*rows: dict[str, Any]) -> pl.DataFrame:
    """The columns of `mixture` that this stage reads or passes on."""
    told = {name: [row.get(name) for row in rows] for name in ("weight", "supervised")}
    plain = [{name: value for name, value in row.items() if name not in told} for row in rows]
    return table("conversations", plain).with_columns(
        split=pl.lit("train"),
        repeats=pl.lit(1, pl.Int32),
        weight=pl.Series(told["weight"], dtype=pl.Float64).fill_null(1.0),
        supervised=pl.Series(told["supervised"], dtype=pl.List(pl.Boolean)),
    )


def tokenize(tokenizer: Path, *rows: dict[str, Any], **params: Any) -> Tokenized:
    return transform(mixture(*rows), params=TokenizeParams(tokenizer=str(tokenizer), **params))


def chat_of(tokenizer: Path, **params: Any) -> ChatTokenizer:
    return prepare(TokenizeParams(tokenizer=str(tokenizer), **params)).chat


def learned(made: Tokenized, chat: ChatTokenizer) -> list[tuple[str, int, list[str]]]:
    """(name of the row, turn, the supervised texts one by one) of each example."""
    return [
        (NAMES[example["row_id"]], example["turn"], [text for counts, text in runs(example, chat) if counts])
        for example in made.examples.iter_rows(named=True)
    ]


def reasons(made: Tokenized) -> dict[str, str]:
    """Name of the row -> why it was refused."""
    return {NAMES[id_]: reason for id_, reason in made.refused.select("row_id", "reason").iter_rows()}


def runs(example: dict[str, Any], chat: ChatTokenizer) -> list[tuple[bool, str]]:
    """The example's text in runs that count or do not count."""
    return [(counts, chat.decode(example["input_ids"][start:end])) for counts, start, end in spans(example)]


def spans(example: dict[str, Any]) -> list[tuple[bool, int, int]]:
    """(counts, first token, behind the last token) of each run of equal mask values."""
    mask = np.array(example["loss_mask"])
    edges = [0, *(np.flatnonzero(np.diff(mask)) + 1).tolist(), len(mask)]
    return [(bool(mask[start]), start, end) for start, end in pairwise(edges)]


WEATHER = row(
    "weather",
    [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": call("get_weather", city="Paris")},
        {"role": "tool", "content": '{"sunny": true}'},
        {"role": "assistant", "content": "It is sunny."},
    ],
    tools=tool("get_weather", "city"),
)
REASONED = row(
    "reasoned",
    [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Uno.", "reasoning_content": "Spanish"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Due.", "reasoning_content": "Italian"},
    ],
)
# Thinking is shown in the newest answer only, as Qwen3 does: the past is rewritten at each turn.
FORGETFUL = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.reasoning_content and loop.last %}{{- '<think>' + message.reasoning_content + '</think>' }}{%- endif %}
    {{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
