"""Columns of many pairs of prompt and answer at once, by the rules of `flat.py`, and which of them those must decide."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from stages.ingest.conversation import MAY_BE_NO_ANSWER, MEDIA_MARKS, NO_VALUE, UNSEEN_ONLY, Rules, any_of, matching
from stages.ingest.conversation_table import Columns, plain_rows, plain_turns
from stages.ingest.flat import LONGEST_PLACEHOLDER, PREAMBLE_START
from stages.ingest.rendered import STARTS
from stages.ingest.transcripts import MAY_AWAIT_ANSWER

MAY_BE_TURNS = r"^[\s\x1c-\x1f]*(?:\[[\s\x1c-\x1f]*\{|\{[\s\x1c-\x1f]*[\"']messages)"  # written out as text, as `split_turns.py` reads them
MAY_BE_NO_INPUT = rf"(?i)n/a|none|input|^[\s\x1c-\x1f]*(?:{NO_VALUE})[\s\x1c-\x1f]*$"


def columns_of_pairs(
    texts: Mapping[str, list[str]], positions: Sequence[int], rules: Rules
) -> tuple[Columns, list[int]]:
    """Columns of the pairs that nothing is odd about, and the numbers of the others.

    `texts` holds prompts and responses, perhaps contexts and tasks; `positions` are those of the records in their block.
    """
    frame = pl.DataFrame([pl.Series(name, texts[name], dtype=pl.String) for name in texts])
    if "context" in texts:
        with_context = pl.col("prompt") + "\n\n" + pl.col("context")
        question = pl.when(~pl.col("context").str.contains(UNSEEN_ONLY)).then(with_context).otherwise("prompt")
        frame = frame.with_columns(question=question)
    else:
        frame = frame.with_columns(question="prompt")
    odd = frame.select(_is_odd(rules, frame.columns)).to_series()
    if rules.placeholder_literal is None:
        odd |= matching(rules.find_placeholder, frame["question"])
    if rules.special_token_literals is None:
        for name in ("question", "response"):
            odd |= matching(rules.find_special_token, frame[name])
    kept = frame.with_columns(record=pl.Series(positions, dtype=pl.Int64)).filter(~odd)
    return _columns(kept), odd.arg_true().to_list()


def _is_odd(rules: Rules, columns: Sequence[str]) -> pl.Expr:
    """Whether a converter may refuse or repair the record; true more often than it does."""
    prompt, question, answer = pl.col("prompt"), pl.col("question"), pl.col("response")
    anywhere = ["\0", *(rules.special_token_literals or ())]
    in_question = [
        *anywhere,
        *MEDIA_MARKS,
        PREAMBLE_START,
        *STARTS,
        *([rules.placeholder_literal] if rules.placeholder_literal else []),
    ]
    odd = (
        prompt.str.contains(UNSEEN_ONLY)
        | answer.str.contains(UNSEEN_ONLY)
        | answer.str.contains(MAY_BE_NO_ANSWER)
        | question.str.contains(any_of(in_question))
        | question.str.contains(MAY_AWAIT_ANSWER)  # by itself it is looked for from the end on
        | answer.str.contains(any_of(anywhere))
        | prompt.str.contains(MAY_BE_TURNS)
    )
    if "context" in columns:
        context = pl.col("context")
        odd |= (context.str.len_bytes() <= LONGEST_PLACEHOLDER * 4) & context.str.contains(MAY_BE_NO_INPUT)
        odd |= context == prompt  # said once
    return odd


def _columns(kept: pl.DataFrame) -> Columns:
    """Two turns for each row: the question, then the answer."""
    count = kept.height
    pairs = np.arange(2 * count).reshape(2, count).T.ravel()
    content = pl.concat([kept["question"], kept["response"]], rechunk=True).gather(pairs)
    roles = pl.Series(["user", "assistant"], dtype=pl.String).gather(np.tile([0, 1], count))
    tasks = kept["task"] if "task" in kept.columns else None
    return Columns(plain_turns(roles, content), np.full(count, 2), plain_rows(kept["record"], tasks))
