"""Marks what matters in quoted texts: the words in which two texts differ, or the words that they share."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # scripts without spaces between words
# White space, or a word, or one character of anything else.
TOKEN = re.compile(rf"\s+|[{UNSPACED}]|[^\W{UNSPACED}]+|\W")
COMPARED_TOKENS = 600  # after the first difference: the comparison may take the square of it
SAME_SHOWN = 48  # characters of an unmarked stretch that are shown at each of its ends


class Piece(NamedTuple):
    """A stretch of a text; `skipped_chars` were left out in its place, they are not marked."""

    text: str
    marked: bool = False
    skipped_chars: int = 0


class Marked(NamedTuple):
    """A text in pieces, and how much of its end is not shown."""

    pieces: tuple[Piece, ...]
    more_chars: int = 0

    @property
    def differs(self) -> bool:
        return any(piece.marked for piece in self.pieces)


def begin(text: str, chars: int, length: int | None = None) -> Marked:
    """The beginning of a text of which `length` characters exist, nothing marked."""
    return Marked((Piece(text[:chars]),) if text else (), max((length or len(text)) - chars, 0))


def mark_differences(first: str, second: str, chars: int) -> tuple[Marked, Marked]:
    """Both texts with the words marked that the other lacks; at most about `chars` of each, around the differences."""
    tokens = [TOKEN.findall(text) for text in (first, second)]
    same = _common_start(*tokens)
    windows = [side[same : same + COMPARED_TOKENS] for side in tokens]
    words = [[place for place, token in enumerate(window) if not token.isspace()] for window in windows]
    keys = [[window[place] for place in places] for window, places in zip(windows, words, strict=True)]
    blocks = SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_matching_blocks()
    lone = [set(places) for places in words]
    for block in blocks:
        lone[0] -= set(words[0][block.a : block.a + block.size])
        lone[1] -= set(words[1][block.b : block.b + block.size])
    marked = []
    for side, window, places in zip(tokens, windows, lone, strict=True):
        # White space belongs to a difference that goes on behind it.
        stretches = [(token, n in places or {n - 1, n + 1} <= places) for n, token in enumerate(window)]
        rest = sum(map(len, side[same + len(window) :]))
        marked.append(_shortened([("".join(side[:same]), False), *stretches], chars, rest))
    return marked[0], marked[1]


def mark_run(text: str, run: str, chars: int) -> Marked | None:
    """`text` around the first place where the words of `run` follow one another, whatever stands between them."""
    words = re.findall(r"\w+", run)
    between = r"[\W_]+"
    found = re.search(between.join(map(re.escape, words)), text, re.IGNORECASE) if words else None
    if found is None:
        return None
    start, end = found.span()
    return _shortened([(text[:start], False), (text[start:end], True), (text[end:], False)], chars, 0)


def _common_start(first: Sequence[str], second: Sequence[str]) -> int:
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _shortened(stretches: Iterable[tuple[str, bool]], chars: int, rest: int) -> Marked:
    """Neighbours of one kind joined, long unmarked stretches cut in their middle, and all of it cut after `chars`."""
    joined: list[tuple[str, bool]] = []
    for text, marked in stretches:
        if joined and joined[-1][1] == marked:
            joined[-1] = (joined[-1][0] + text, marked)
        elif text:
            joined.append((text, marked))
    pieces: list[Piece] = []
    around, left = min(SAME_SHOWN, chars // 4), chars
    for place, (text, marked) in enumerate(joined):
        head, tail = text[:around] if place else "", text[len(text) - around :]
        if left <= 0:
            rest += len(text)
        elif not marked and place < len(joined) - 1 and len(text) > 3 * around:
            pieces += [Piece(head), Piece("", skipped_chars=len(text) - len(head) - len(tail)), Piece(tail)]
            left -= len(head) + len(tail)
        else:
            pieces.append(Piece(text[:left], marked))
            rest += len(text) - len(text[:left])
            left -= len(text[:left])
    return Marked(tuple(piece for piece in pieces if piece.text or piece.skipped_chars), rest)
