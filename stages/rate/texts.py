"""What a model is shown of a row: the last answer, and all that comes before it."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from stages.modelling.chat_template import ChatTokenizer, RenderError
from stages.texts.conversation_text import context_text, prompt_text, response_text

BETWEEN_TURNS = "\n\n"  # a blank line, as between question and answer on a web page that the base may have read


def answers_in_context(rows: pl.DataFrame) -> pl.DataFrame:
    """`row_id`, `answer` (null = empty), `context` (null = nothing is asked), `is_document`, `answer_chars`."""
    is_document = pl.col("messages").list.last().struct.field("role") == "text"
    asks = ~is_document & (prompt_text().str.strip_chars() != "")
    answer = response_text()
    return rows.select(
        "row_id",
        answer=pl.when(answer.str.strip_chars() != "").then(answer),
        context=pl.when(asks).then(pl.concat_str(context_text(BETWEEN_TURNS), pl.lit(BETWEEN_TURNS))),
        is_document=is_document,
        answer_chars=answer.str.len_chars().cast(pl.Int64),
    )


def rendered(rows: pl.DataFrame, chat: ChatTokenizer) -> pl.Series:
    """The context of each row as the chat template writes it; null where the template refuses the row."""
    pairs = zip(rows["messages"], rows["tools"], strict=True)
    return pl.Series("context", [_render(messages, tools, chat) for messages, tools in pairs], dtype=pl.String)


def _render(messages: Sequence[Mapping[str, Any]], tools: str | None, chat: ChatTokenizer) -> str | None:
    try:
        return chat.prompt(list(messages)[:-1], tools)
    except RenderError:
        return None
