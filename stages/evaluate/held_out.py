"""The data of an evaluation: held-out examples, pieces of plain text, and prompts, as token ids that both models get."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stages.errors import DataError
from stages.evaluate.stage import EvaluateParams
from stages.modelling.chat_template import ChatTokenizer, RenderError
from stages.raw_files.records import Record, read_records
from stages.raw_files.source_files import SourceFile
from stages.store.tables import read_table

SPLITS = ("test", "validation")  # the second where the first is empty
SEQUENCES: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "source": pl.String(),
    "input_ids": pl.List(pl.Int32),
    "loss_mask": pl.List(pl.Int8),
}
PROMPTS: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "prompt": pl.String(),
    "reference": pl.String(),
    "prompt_ids": pl.List(pl.Int32),
}


class HeldOut(NamedTuple):
    """Where held-out conversations lie: as rows, and as the examples that were made of them."""

    mixture: Path
    examples: Path
    split: str


def held_out_split(examples: Path) -> str:
    """The split to evaluate on; DataError when neither test nor validation has an example."""
    counts = dict(read_table(examples).group_by("split").agg(pl.len()).collect().rows())
    for split in SPLITS:
        if counts.get(split):
            return split
    raise DataError(
        f"{examples}: none of {sum(counts.values()):,} examples is in split test or validation, so nothing was held out; "
        "let mix set some aside (test_share) and train again"
    )


def held_out_examples(examples: Path, split: str, params: EvaluateParams, limit: int) -> pl.DataFrame:
    """Examples of the split that fit in `limit` tokens; at most `max_examples` conversations, picked by their id.

    Documents are left out where there are conversations: the loss is that of answers.
    """
    rows = (
        read_table(examples)
        .filter(pl.col("split") == split, pl.col("input_ids").list.len() <= limit)
        .filter(pl.col("loss_mask").list.slice(1).list.sum() > 0)
        .filter((pl.col("form") != "document") | (pl.col("form") == "document").all())
        .sort("row_id", "turn")
        .select(pl.col(name).cast(dtype) for name, dtype in SEQUENCES.items())
        .collect()
    )
    if not rows.height:
        raise DataError(
            f"{examples}: no example of split {split} has a supervised token and at most {limit:,} tokens, which is what "
            "the model can read; make shorter examples (tokenize, max_tokens)"
        )
    if params.max_examples is None:
        return rows
    # Ids are digests, so the first of them are a random sample, and the same one every time.
    kept = rows["row_id"].unique(maintain_order=True).head(params.max_examples)
    return rows.filter(pl.col("row_id").is_in(kept.implode()))


def plain_text_pieces(
    files: Sequence[SourceFile], chat: ChatTokenizer, params: EvaluateParams, limit: int
) -> pl.DataFrame:
    """Documents cut into pieces of at most `limit` tokens, every token but the first counting; a row_id is a document.

    Each file gives its share of `max_plain_text_tokens`. Raises DataError when no file holds a document.
    """
    budget = None if params.max_plain_text_tokens is None else params.max_plain_text_tokens // max(1, len(files))
    rows = [row for file in files for row in _pieces_of(file, chat, budget, limit)]
    if not rows:
        raise DataError(
            f"plain_text: none of {len(files)} files holds a document; give .txt files, or records with a `text` field"
        )
    return pl.DataFrame(rows, schema=SEQUENCES, orient="row")


def _pieces_of(
    file: SourceFile, chat: ChatTokenizer, budget: int | None, limit: int
) -> Iterator[tuple[str, str, list[int], list[int]]]:
    used = 0
    for index, text in _documents(file):
        if budget is not None and used >= budget:
            return
        # As the tokenizer begins a document by itself: some put a token before it.
        ids = chat.backend.encode(text, add_special_tokens=True).ids
        used += len(ids)
        for start in range(0, len(ids) - 1, limit):
            if len(piece := ids[start : start + limit]) > 1:
                yield f"{file.source}/{file.name}#{index}", file.source, piece, [0] + [1] * (len(piece) - 1)


def _documents(file: SourceFile) -> Iterator[tuple[int, str]]:
    for record in read_records(file):
        if isinstance(record, Record):
            text = record.value.get("text") if isinstance(record.value, dict) else record.value
            if isinstance(text, str) and text.strip():
                yield record.index, text


def held_out_prompts(
    data: HeldOut, chat: ChatTokenizer, params: EvaluateParams, limit: int
) -> tuple[pl.DataFrame, int]:
    """Prompts of the split whose answer fits in `limit` tokens, with the answer of the data; and how many were passed over.

    A prompt is everything before the last assistant turn, rendered as a server would that is told what training was.
    Passed over are prompts that the template refuses and those too long.
    """
    mixture, split = data.mixture, data.split
    settings = _prompt_settings(data)
    rows = (
        read_table(mixture)
        .filter(pl.col("split") == split, pl.col("messages").list.len() > 1)
        .filter(pl.col("messages").list.last().struct.field("role") == "assistant")
        .sort("row_id")
        .select("row_id", "messages", "tools")
        .collect()
    )
    found: list[tuple[str, str, str, list[int]]] = []
    passed_over = 0
    for row_id, messages, tools in rows.iter_rows():
        if params.max_prompts is not None and len(found) >= params.max_prompts:
            break
        try:
            ids = chat.prompt_ids(messages[:-1], tools, settings.get(row_id, {}))
        except RenderError:
            ids = []
        if ids and len(ids) + params.max_new_tokens <= limit:
            reference = messages[-1]["content"] or messages[-1]["tool_calls"] or ""
            found.append((row_id, _readable(messages[:-1]), reference, ids))
        else:
            passed_over += 1
    return pl.DataFrame(found, schema=PROMPTS, orient="row"), passed_over


def _prompt_settings(data: HeldOut) -> dict[str, dict[str, bool]]:
    """What the prompt of each row's last answer was rendered with, where that was anything, such as no thinking."""
    told = (
        read_table(data.examples)
        .filter(pl.col("split") == data.split)
        .sort("row_id", "turn")
        .group_by("row_id")
        .agg(pl.col("prompt_settings").last())
        .drop_nulls()
    )
    return {row_id: json.loads(stated) for row_id, stated in told.collect().rows()}


def _readable(messages: Sequence[dict[str, str]]) -> str:
    """The turns as people read them: a single one alone, several each after its role."""
    if len(messages) == 1:
        return messages[0]["content"] or messages[0]["role"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
