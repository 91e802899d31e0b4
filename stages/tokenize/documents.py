"""Plain documents: every token but the first counts, and a long one is split so that none is lost."""

from array import array
from collections.abc import Sequence

from stages.tokenize.conversation import refuse_control_tokens
from stages.tokenize.example_table import Example, Ids
from stages.tokenize.prepared import Preparation
from stages.tokenize.refusal import Refusal
from stages.tokenize.turn_ids import refuse_unknown

Document = tuple[int, str]  # position of the row in the batch, text


def tokenize_documents(
    documents: Sequence[Document], prepared: Preparation, max_tokens: int
) -> dict[int, list[Example] | Refusal]:
    """Position of the row -> its examples, in the order of the text, or why there are none.

    The tokenizer adds what it adds to any text, such as a token at the beginning; the document ends in its eos_token.
    """
    outcomes: dict[int, list[Example] | Refusal] = {}
    readable: list[Document] = []
    for row, text in documents:
        try:
            _refuse_unfit(text, prepared)
            readable.append((row, text))
        except Refusal as refusal:
            outcomes[row] = refusal
    end = prepared.chat.token_id(prepared.document_end)
    encodings = prepared.chat.backend.encode_batch_fast([text for _, text in readable], add_special_tokens=True)
    for (row, text), encoding in zip(readable, encodings, strict=True):
        ids = array("i", encoding.ids if encoding.ids[-1:] == [end] else [*encoding.ids, end])
        try:
            refuse_unknown(ids, text, prepared.chat, "the document")
            outcomes[row] = _split(row, ids, max_tokens)
        except Refusal as refusal:
            outcomes[row] = refusal
    return outcomes


def _refuse_unfit(text: str, prepared: Preparation) -> None:
    if not text.strip():
        raise Refusal("empty_text", "the document has no text")
    refuse_control_tokens([text], prepared.chat.control_pattern, "the document")


def _split(row: int, ids: Ids, max_tokens: int) -> list[Example]:
    """Chunks of at most `max_tokens`; each begins with the last token of the one before, so that each token but the
    document's first is predicted exactly once, and from at least one other."""
    starts = range(0, len(ids) - 1, max_tokens - 1)
    return [
        Example(row, chunk, "document", 0, [ids[start : start + 1], ids[start + 1 : start + max_tokens]])
        for chunk, start in enumerate(starts)
    ]
