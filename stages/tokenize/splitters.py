"""Finds the control tokens at which a text can be cut without changing its token ids, by trying."""

from itertools import product

from stages.modelling.chat_template import ChatTokenizer

BEFORE = ("", "a", "a ", "a\n\n", " ")
AFTER = ("b", " b", "\nb", "\n\n", "")


def find_splitters(chat: ChatTokenizer) -> frozenset[str]:
    """Control tokens for which the ids of `text + token + more` are those of `text`, the token, and `more` after it.

    Not so for a token that swallows white space before it, or that is looked for after the text was normalised.
    """
    return frozenset(token for token in chat.control_tokens if _splits(chat, token))


def _splits(chat: ChatTokenizer, token: str) -> bool:
    for before, after in product(BEFORE, AFTER):
        whole, first, second = chat.encode([before + token + after, before, token + after])
        if second[:1] != [chat.token_id(token)] or whole != first + second:
            return False
    return True
