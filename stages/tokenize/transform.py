"""Conversations and documents to token ids and loss masks, or to the reason why there are none."""

from typing import NamedTuple

import polars as pl

from stages.tokenize.attempts import Row, tokenize_conversations
from stages.tokenize.conversation import is_document
from stages.tokenize.documents import tokenize_documents
from stages.tokenize.example_table import Example, example_table
from stages.tokenize.prepared import Preparation
from stages.tokenize.refusal import Refusal
from stages.tokenize.stage import TokenizeParams


class Tokenized(NamedTuple):
    """`examples`: one row per sequence to train on; `refused`: rows of the mixture with `reason` and `detail`."""

    examples: pl.DataFrame
    refused: pl.DataFrame


def transform(mixture: pl.DataFrame, *, params: TokenizeParams, prepared: Preparation | None = None) -> Tokenized:
    """Each row's examples, or the row with the reason why its mask cannot be proven.

    The supervised text of an answer is what the template renders up to and with the answer, less what a server sends
    to get it, up to and including the end token; at token level the ids before it are those of the server's prompt.
    """
    prepared = prepared or _prepare(params)
    messages = mixture["messages"].to_list()
    tools = mixture["tools"].to_list()
    documents = [(row, turns[0]["content"]) for row, turns in enumerate(messages) if is_document(turns)]
    texts = {row for row, _ in documents}
    supervised = mixture["supervised"].to_list() if "supervised" in mixture.columns else [None] * mixture.height
    conversations = [
        Row(row, turns, tools[row], supervised[row]) for row, turns in enumerate(messages) if row not in texts
    ]
    outcomes = tokenize_conversations(conversations, prepared, params)
    outcomes |= tokenize_documents(documents, prepared, params.max_tokens)
    in_order = [outcomes[row] for row in range(mixture.height)]
    examples = [example for outcome in in_order if not isinstance(outcome, Refusal) for example in outcome]
    return Tokenized(example_table(mixture, examples), _refused(mixture, in_order))


def _prepare(params: TokenizeParams) -> Preparation:
    # Not above: it imports transformers, which a process that is handed `prepared` does without.
    from stages.tokenize.preparation import prepare

    return prepare(params)


def _refused(mixture: pl.DataFrame, outcomes: list[list[Example] | Refusal]) -> pl.DataFrame:
    refusals = [(row, outcome) for row, outcome in enumerate(outcomes) if isinstance(outcome, Refusal)]
    return mixture[[row for row, _ in refusals]].with_columns(
        pl.Series("reason", [refusal.reason for _, refusal in refusals], dtype=pl.String),
        pl.Series("detail", [refusal.detail for _, refusal in refusals], dtype=pl.String),
    )
