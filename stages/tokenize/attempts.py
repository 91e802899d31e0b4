"""Decides rows: tries the form that trains most at once, and the next one only for the rows it does not hold for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from stages.modelling.chat_template import ChatTokenizer
from stages.tokenize.conversation import Conversation, read_conversation
from stages.tokenize.example_table import Example, Ids
from stages.tokenize.prepared import Preparation
from stages.tokenize.reading import Turn
from stages.tokenize.refusal import Refusal
from stages.tokenize.stage import TokenizeParams
from stages.tokenize.turn_ids import (
    Piece,
    TurnIds,
    cut_pieces,
    encode_new,
    refuse_unknown,
    sequence_ids,
    served_ids,
    texts_to_encode,
)
from stages.tokenize.turns import is_one_sequence, read_turns


class Attempt(NamedTuple):
    """One way to tokenize a row. `served`: one example per answer, each behind its prompt as a server would send it."""

    row: int
    conversation: Conversation
    in_play: list[int]  # positions of the answers that may count
    turns: list[Turn]  # the answers that count: all in play, or the last of them
    pieces: list[Piece]  # what is fed before each, ready to be encoded
    served: bool
    answers_dropped: int = 0  # answers that were in play before, and the tokens that went with them
    tokens: int = 0  # of the longest attempt at the row


Outcome = list[Example] | Refusal


class Row(NamedTuple):
    """What the stage reads of one row."""

    row: int  # position in the batch
    messages: list[Mapping[str, Any]]
    tools: str | None
    supervised: list[bool] | None  # for each answer whether it counts; None = as the setting says


def tokenize_conversations(rows: Sequence[Row], prepared: Preparation, params: TokenizeParams) -> dict[int, Outcome]:
    """Position of the row -> its examples, or why there are none."""
    outcomes: dict[int, Outcome] = {}
    pending: list[Attempt] = []
    ids: dict[str, Ids] = {}
    for row in rows:
        try:
            conversation = read_conversation(row.messages, row.tools, prepared.chat.control_pattern, prepared.tags)
            pending.append(_attempt(row.row, conversation, _in_play(conversation, row, params), prepared, params))
        except Refusal as refusal:
            outcomes[row.row] = refusal
    while pending:
        encode_new(prepared.chat, (text for attempt in pending for text in _texts(attempt, prepared)), ids)
        settled = [(attempt.row, _settle_or_refuse(attempt, ids, prepared, params)) for attempt in pending]
        pending = [outcome for _, outcome in settled if isinstance(outcome, Attempt)]
        outcomes |= {row: outcome for row, outcome in settled if not isinstance(outcome, Attempt)}
    return outcomes


def _in_play(conversation: Conversation, row: Row, params: TokenizeParams) -> list[int]:
    """The answers that are to count. Raises Refusal where none is."""
    if row.supervised is None:
        answers = [] if params.supervise == "none" else conversation.answers
    elif len(row.supervised) != len(conversation.answers):
        raise Refusal("supervised_mismatch", f"{len(row.supervised)} entries for {len(conversation.answers)} answers")
    else:
        answers = [answer for answer, counts in zip(conversation.answers, row.supervised, strict=True) if counts]
    if not answers:
        raise Refusal("nothing_counts", "no answer is to count")
    return answers


def _attempt(
    row: int, conversation: Conversation, in_play: list[int], prepared: Preparation, params: TokenizeParams
) -> Attempt:
    counted = in_play[-1:] if params.supervise == "last" else in_play
    turns = read_turns(prepared.chat, prepared.outlines, conversation, counted)
    served = not is_one_sequence(turns)
    return Attempt(row, conversation, in_play, turns, cut_pieces(turns, prepared.splitters, apart=served), served)


def _texts(attempt: Attempt, prepared: Preparation) -> Iterator[str]:
    return texts_to_encode(attempt.turns, attempt.pieces, prepared.splitters, served=attempt.served)


def _settle_or_refuse(
    attempt: Attempt, ids: Mapping[str, Ids], prepared: Preparation, params: TokenizeParams
) -> Outcome | Attempt:
    try:
        return _settle(attempt, ids, prepared, params)
    except Refusal as refusal:
        return refusal


def _settle(
    attempt: Attempt, ids: Mapping[str, Ids], prepared: Preparation, params: TokenizeParams
) -> list[Example] | Attempt:
    """The examples of an attempt, or the attempt to be made next. Raises Refusal."""
    if attempt.served:
        turns = [
            served_ids(turn, piece, ids, prepared.splitters, prepared.chat)
            for turn, piece in zip(attempt.turns, attempt.pieces, strict=True)
        ]
    else:
        turns = sequence_ids(attempt.turns, attempt.pieces, ids, prepared.splitters) or []
        if not turns:
            pieces = cut_pieces(attempt.turns, prepared.splitters, apart=True)
            return attempt._replace(pieces=pieces, served=True)
    _refuse_bad_beginning(turns[0], prepared.chat)
    _refuse_unended(attempt.turns, turns, prepared.chat)
    for text, turn in zip(attempt.turns, turns, strict=True):
        refuse_unknown(turn.answer, text.answer, prepared.chat, "an answer")
    if prepared.chat.finds_control_late:
        _refuse_disguised(attempt.turns, turns, prepared.chat, served=attempt.served)
    attempt = attempt._replace(tokens=max(attempt.tokens, _tokens(turns, served=attempt.served)))
    fitting = (_fitting_served if attempt.served else _fitting_sequence)(attempt, turns, params.max_tokens)
    if fitting:
        return fitting
    if params.supervise == "last" and len(attempt.in_play) > 1:
        shorter = _attempt(attempt.row, attempt.conversation, attempt.in_play[:-1], prepared, params)
        return shorter._replace(answers_dropped=attempt.answers_dropped + 1, tokens=attempt.tokens)
    needed = sum(map(len, turns[0]))
    raise Refusal(
        "too_long",
        f"the first exchange has {needed} tokens, more than max_tokens={params.max_tokens}; all have {attempt.tokens}",
    )


def _tokens(turns: Sequence[TurnIds], *, served: bool) -> int:
    """Tokens of the examples that the turns would make."""
    trailers = [turn.trailer for turn in turns] if served else [turns[-1].trailer]
    return sum(len(turn.context) + len(turn.answer) for turn in turns) + sum(map(len, trailers))


def _fitting_sequence(attempt: Attempt, turns: Sequence[TurnIds], max_tokens: int) -> list[Example]:
    """One example of as many whole exchanges, from the first on, as fit; none when not even one does."""
    totals = accumulate(len(turn.context) + len(turn.answer) for turn in turns)
    fits = [total + len(turn.trailer) <= max_tokens for total, turn in zip(totals, turns, strict=True)]
    kept = fits.index(False) if False in fits else len(turns)
    if not kept:
        return []
    parts = [*(part for turn in turns[:kept] for part in (turn.context, turn.answer)), turns[kept - 1].trailer]
    dropped = attempt.answers_dropped + len(turns) - kept
    tokens = attempt.tokens - sum(map(len, parts)) if dropped else 0
    return [Example(attempt.row, 0, "conversation", dropped, parts, tokens, _stated(attempt.turns[0]))]


def _fitting_served(attempt: Attempt, turns: Sequence[TurnIds], max_tokens: int) -> list[Example]:
    """An example for each answer that fits behind its prompt; the first also says how many were left out."""
    answers = attempt.conversation.answers
    counted = attempt.in_play[len(attempt.in_play) - len(turns) :]
    fitting = [
        Example(attempt.row, answers.index(position), "unrolled", 0, list(ids), 0, _stated(turn))
        for position, ids, turn in zip(counted, turns, attempt.turns, strict=True)
        if sum(map(len, ids)) <= max_tokens
    ]
    if dropped := attempt.answers_dropped + len(turns) - len(fitting):
        tokens = attempt.tokens - sum(len(part) for example in fitting for part in example.parts)
        fitting[:1] = [first._replace(answers_dropped=dropped, tokens_dropped=tokens) for first in fitting[:1]]
    return fitting


def _stated(turn: Turn) -> str | None:
    return json.dumps(dict(turn.settings)) if turn.settings else None


def _refuse_bad_beginning(first: TurnIds, chat: ChatTokenizer) -> None:
    bos = chat.bos_id
    if bos is not None and first.context[:2].tolist() == [bos, bos]:
        raise Refusal("double_bos", f"the template writes {chat.decode([bos])} twice at the beginning")
    if not first.context:
        raise Refusal("no_prompt", "the template writes nothing before the answer")


def _refuse_disguised(texts: Sequence[Turn], turns: Sequence[TurnIds], chat: ChatTokenizer, *, served: bool) -> None:
    """Raises Refusal where the ids hold more control tokens than the text: full-width letters may become one."""
    control = set(chat.control_ids.values())
    fed = [text.prompt + text.answer for text in texts] if served else [texts[-1].prompt + texts[-1].answer]
    written = sum(len(chat.control_pattern.findall(text)) for text in fed)
    made = sum(id_ in control for turn in turns for id_ in (*turn.context, *turn.answer))
    if made != written:
        raise Refusal("control_token_in_text", f"the tokenizer makes {made} control tokens of {written} in the text")


def _refuse_unended(texts: Sequence[Turn], turns: Sequence[TurnIds], chat: ChatTokenizer) -> None:
    for text, turn in zip(texts, turns, strict=True):
        if not turn.answer or turn.answer[-1] != chat.control_ids[text.end]:
            raise Refusal("no_end_token", f"{text.end} is in the text, but the tokenizer makes no token of it there")
