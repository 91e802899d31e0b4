"""The token ids of turns, and the proof that those before an answer are the ones a server would feed.

Every piece that follows an answer is encoded behind that answer's end token, as it stands in the whole text: a control
token splits the text before anything else looks at it, so the pieces' ids put together are the ids of the whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from stages.chat_template import ChatTokenizer
from stages.tokenize.refusal import Refusal
from stages.tokenize.turns import Turn

Ids = list[int]


class TurnIds(NamedTuple):
    """One answer; laid end to end, those of a conversation are the ids of its text, up to a trailer at the end."""

    context: Ids  # what a server feeds since the answer before
    answer: Ids  # ends in the end token
    trailer: Ids  # belongs to the text only behind the last answer: a later context begins with it


def encode_distinct(chat: ChatTokenizer, texts: Iterable[str]) -> dict[str, Ids]:
    """Text -> token ids; texts that come many times, like what follows every answer, are encoded once."""
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, chat.encode(distinct), strict=True))


def sequence_texts(turns: Sequence[Turn]) -> Iterator[str]:
    """The texts whose ids `sequence_ids` asks for."""
    for lead, context, turn in _pieces(turns):
        yield from (lead + context, lead + context + turn.answer, turn.end + turn.trailer)


def sequence_ids(turns: Sequence[Turn], ids: Mapping[str, Ids]) -> list[TurnIds] | None:
    """The turns of one text; None where a token would lie across the place at which some answer begins."""
    made = []
    for lead, context, turn in _pieces(turns):
        fed, whole = ids[lead + context], ids[lead + context + turn.answer]
        if whole[: len(fed)] != fed:
            return None
        skipped = 1 if lead else 0
        made.append(TurnIds(fed[skipped:], whole[len(fed) :], ids[turn.end + turn.trailer][1:]))
    return made


def _pieces(turns: Sequence[Turn]) -> Iterator[tuple[str, str, Turn]]:
    """For each turn: the end token before it, and what is fed between that token and its answer."""
    for turn in turns[:1]:
        yield "", turn.prompt, turn
    for before, turn in pairwise(turns):
        yield before.end, turn.prompt[len(before.prompt) + len(before.answer) :], turn


def served_texts(turn: Turn) -> Iterator[str]:
    """The texts whose ids `served_ids` asks for."""
    yield from sequence_texts([turn])
    yield turn.end + turn.answer


def served_ids(turn: Turn, ids: Mapping[str, Ids], chat: ChatTokenizer) -> TurnIds:
    """One turn as it is served: the prompt's own ids, then the answer's.

    Where the two would share a token in one text, as `\\n\\n` and a letter do in GPT-2, the answer is encoded apart,
    which is what a model that was fed the prompt says. Raises Refusal when that gives another text.
    """
    if as_sequence := sequence_ids([turn], ids):
        return as_sequence[0]
    answer = ids[turn.end + turn.answer][1:]
    if chat.decode(answer) != turn.answer:
        raise Refusal("prompt_not_a_prefix", "a token lies across the place at which the answer begins")
    return TurnIds(ids[turn.prompt], answer, ids[turn.end + turn.trailer][1:])
