"""Columns of many chats of plain text at once, by the rules of `turns.py`, and which of them those must decide."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.ingest.conversation import MAY_BE_NO_ANSWER, MEDIA_MARKS, UNSEEN_ONLY, Rules, any_of, matching
from stages.ingest.conversation_table import Columns, plain_rows, plain_turns
from stages.ingest.turns import ROLES

Codes = npt.NDArray[np.uint8]  # of each turn, the position of its role in PLAIN_ROLES
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PLAIN_ROLES = ("system", "user", "assistant")
SYSTEM, USER, ASSISTANT = range(3)
UNKNOWN = 3
CODES = {name: PLAIN_ROLES.index(role) for name, role in ROLES.items() if role in PLAIN_ROLES}


class Chats(NamedTuple):
    """Turns of all chats one after the other, and how many each chat has."""

    roles: list[str]
    contents: list[str]
    lengths: Counts
    tasks: list[str] | None


def columns_of_chats(chats: Chats, positions: Sequence[int], rules: Rules) -> tuple[Columns, list[int]]:
    """Columns of the chats that nothing is odd about, and the numbers of the others.

    `positions` are those of the records in their block. Nothing is odd where perhaps a system turn, then questions and
    answers in turn, hold text that needs no second look.
    """
    roles = pl.Series(chats.roles, dtype=pl.String).replace_strict(CODES, default=UNKNOWN, return_dtype=pl.UInt8)
    contents = pl.Series("content", chats.contents, dtype=pl.String)
    codes = roles.to_numpy()
    odd_turns = _is_odd_text(codes, contents, rules) | _is_out_of_turn(codes, chats.lengths)
    odd_before = np.concatenate([[0], np.cumsum(odd_turns)])
    ends = np.cumsum(chats.lengths)
    sound = (odd_before[ends] == odd_before[ends - chats.lengths]) & _ends_with_answer(codes, chats.lengths)
    turns = pl.Series(np.repeat(sound, chats.lengths), dtype=pl.Boolean)
    kept = pl.Series(sound, dtype=pl.Boolean)
    names = pl.Series([*PLAIN_ROLES, None], dtype=pl.String).gather(roles.filter(turns))
    tasks = pl.Series(chats.tasks, dtype=pl.String).filter(kept) if chats.tasks is not None else None
    rows = plain_rows(pl.Series(positions, dtype=pl.Int64).filter(kept), tasks)
    columns = Columns(plain_turns(names, contents.filter(turns)), chats.lengths[sound], rows)
    return columns, np.flatnonzero(~sound).tolist()


def _is_out_of_turn(codes: Codes, lengths: Counts) -> Flags:
    """For each turn whether another one is due there."""
    starts = np.cumsum(lengths) - lengths
    has_system = _has_system(codes, lengths)
    place = np.arange(len(codes)) - np.repeat(starts + has_system, lengths)  # -1 for the system turn
    due = np.where(place < 0, SYSTEM, np.where(place % 2 == 0, USER, ASSISTANT))
    return np.not_equal(codes, due)


def _has_system(codes: Codes, lengths: Counts) -> Flags:
    starts = np.cumsum(lengths) - lengths
    behind = np.append(codes, UNKNOWN)  # an empty chat at the end starts there
    found: Flags = np.logical_and(behind[starts] == SYSTEM, lengths > 0)
    return found


def _ends_with_answer(codes: Codes, lengths: Counts) -> Flags:
    exchanged = lengths - _has_system(codes, lengths)
    ends: Flags = np.logical_and(exchanged > 0, exchanged % 2 == 0)
    return ends


def _is_odd_text(codes: Codes, contents: pl.Series, rules: Rules) -> Flags:
    """For each turn whether a converter may refuse or repair it; true more often than it does."""
    role, text = pl.col("role"), pl.col("content")
    asked = [*MEDIA_MARKS, *([rules.placeholder_literal] if rules.placeholder_literal else [])]
    odd = (
        text.str.contains(UNSEEN_ONLY)
        | text.str.contains(any_of(["\0", *(rules.special_token_literals or ())]))
        | ((role == ASSISTANT) & text.str.contains(MAY_BE_NO_ANSWER))
        | ((role != ASSISTANT) & text.str.contains(any_of(asked)))
    )
    frame = pl.DataFrame([pl.Series("role", codes), contents])
    found: Flags = frame.select(odd).to_series().to_numpy()
    if rules.placeholder_literal is None:
        found = found | ((codes != ASSISTANT) & matching(rules.find_placeholder, contents).to_numpy())
    if rules.special_token_literals is None:
        found = found | matching(rules.find_special_token, contents).to_numpy()
    return found
