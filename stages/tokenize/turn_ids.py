"""The token ids of turns, and the proof that those before an answer are the ones a server would feed.

A text is encoded in pieces that begin with a splitter: a control token at which the ids of a whole text are the ids of
its parts. So each piece is encoded once, and what stands before every answer, such as `<|im_start|>assistant`, only once
for all rows.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from re import Pattern
from typing import NamedTuple

from stages.modelling.chat_template import ChatTokenizer
from stages.tokenize.example_table import Ids
from stages.tokenize.reading import Turn
from stages.tokenize.refusal import Refusal

NEAR = 64  # characters from the end of what is fed in which its last control token mostly stands
NUL = "\0"  # what no vocabulary joins to anything else
ENCODED_AT_ONCE = 256  # texts; each token of a text that is being encoded holds some hundred bytes


class TurnIds(NamedTuple):
    """One answer; laid end to end, those of a conversation are the ids of its text, up to a trailer at the end."""

    context: Ids  # what a server feeds since the answer before
    answer: Ids  # ends in the end token
    trailer: Ids  # belongs to the text only behind the last answer: a later context begins with it


class Piece(NamedTuple):
    """What is fed before an answer, cut at its last splitter; `known` of its first tokens belong to the answer before."""

    head: str
    opener: str
    known: int


def encode_new(chat: ChatTokenizer, texts: Iterable[str], ids: dict[str, Ids]) -> None:
    """Adds to `ids`, text -> token ids, the texts that are not there yet; one that comes many times is encoded once."""
    new = list(dict.fromkeys(text for text in texts if text not in ids))
    for start in range(0, len(new), ENCODED_AT_ONCE):
        some = new[start : start + ENCODED_AT_ONCE]
        ids.update((text, array("i", found)) for text, found in zip(some, chat.encode(some), strict=True))


def texts_to_encode(
    turns: Sequence[Turn], pieces: Sequence[Piece], splitters: Pattern[str], *, served: bool
) -> Iterator[str]:
    """The texts whose ids `sequence_ids` asks for, or `served_ids` for each of the turns."""
    for turn, piece in zip(turns, pieces, strict=True):
        yield from (piece.head, piece.opener, piece.opener + turn.answer, _trailer(turn, splitters))
        if served:
            yield turn.end + turn.answer


def sequence_ids(
    turns: Sequence[Turn], pieces: Sequence[Piece], ids: Mapping[str, Ids], splitters: Pattern[str]
) -> list[TurnIds] | None:
    """The turns of one text; None where a token would lie across the place at which some answer begins, or no token between
    two answers, as where a line break is all there is and the tokenizer drops it."""
    if not all(splitters.fullmatch(turn.end) for turn in turns[:-1]):
        return None
    made = list[TurnIds]()
    for turn, piece in zip(turns, pieces, strict=True):
        opener, whole = ids[piece.opener], ids[piece.opener + turn.answer]
        if whole[: len(opener)] != opener:
            return None
        context = (ids[piece.head] + opener)[piece.known :]
        if made and not context:
            return None
        made.append(TurnIds(context, whole[len(opener) :], ids[_trailer(turn, splitters)][1:]))
    return made


def served_ids(
    turn: Turn, piece: Piece, ids: Mapping[str, Ids], splitters: Pattern[str], chat: ChatTokenizer
) -> TurnIds:
    """One turn as it is served: the prompt's own ids, then the answer's.

    Where the two would share a token in one text, as `\\n\\n` and a letter do in GPT-2, the answer is encoded apart,
    which is what a model that was fed the prompt says. Raises Refusal when that gives another text.
    """
    if as_sequence := sequence_ids([turn], [piece], ids, splitters):
        return as_sequence[0]
    opener, whole = ids[piece.opener], chat.decode(ids[piece.opener + turn.answer])
    for answer in _apart(turn, ids, chat):
        if chat.decode(opener + answer) == whole:
            return TurnIds(ids[piece.head] + opener, answer, ids[_trailer(turn, splitters)][1:])
    raise Refusal(
        "prompt_not_a_prefix",
        "a token lies across the place at which the answer begins",
        "choose a template whose prompt ends in a control token",
    )


def _apart(turn: Turn, ids: Mapping[str, Ids], chat: ChatTokenizer) -> Iterator[Ids]:
    """The ids of the answer behind its end token, then behind a NUL: Llama 2 puts a space behind any control token."""
    yield ids[turn.end + turn.answer][1:]
    alone, behind = chat.encode([NUL, NUL + turn.answer])
    if behind[: len(alone)] == alone:
        yield array("i", behind[len(alone) :])


def refuse_unknown(ids: Ids, text: str, chat: ChatTokenizer, where: str) -> None:
    """Raises Refusal where a token of `ids`, which are to be learned, stands for a part of `text` that has no token."""
    unknown = chat.unknown_token
    if unknown is None or unknown in text or chat.token_id(unknown) not in ids:
        return
    encoding = chat.backend.encode(text, add_special_tokens=False)
    spans = [span for span, id_ in zip(encoding.offsets, encoding.ids, strict=True) if id_ == chat.token_id(unknown)]
    raise Refusal(
        "unknown_text",
        f"{where} has {text[slice(*spans[0])] if spans else text[:40]!r}, for which the tokenizer has no token but {unknown}, "
        "so that a model would learn to write that",
    )


def cut_pieces(turns: Sequence[Turn], splitters: Pattern[str], *, apart: bool) -> list[Piece]:
    """What is fed before each answer: all of it where turns stand apart, else what follows the answer before."""
    if apart:
        return [_piece(turn.prompt, splitters, known=0) for turn in turns]
    between = [
        _piece(before.end + turn.prompt[len(before.prompt) + len(before.answer) :], splitters, known=1)
        for before, turn in pairwise(turns)
    ]
    return [_piece(turns[0].prompt, splitters, known=0), *between]


def _piece(fed: str, splitters: Pattern[str], *, known: int) -> Piece:
    """`fed` cut before its last splitter, which is mostly right at its end."""
    cut = _last_start(splitters, fed, max(0, len(fed) - NEAR)) or _last_start(splitters, fed, 0)
    return Piece(fed[:cut], fed[cut:], known)


def _last_start(splitters: Pattern[str], fed: str, begin: int) -> int:
    start = 0
    for found in splitters.finditer(fed, begin):
        start = found.start()
    return start


def _trailer(turn: Turn, splitters: Pattern[str]) -> str:
    """What follows the answer, behind its end token; nothing where that cannot be encoded apart, as none of it counts."""
    return turn.end + turn.trailer if splitters.fullmatch(turn.end) else ""
