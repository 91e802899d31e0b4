"""A tokenizer and a template made to fit each other: all that the proofs need, and nothing that needs transformers.

So it can be pickled, and a worker that is handed it starts in a third of the time.
"""

import hashlib
import re
from dataclasses import dataclass

from stages.modelling.chat_template import ChatTokenizer
from stages.tokenize.outlines import Outlines


@dataclass(frozen=True)
class Preparation:
    """The tokenizer as it will be saved, and what was done to it."""

    chat: ChatTokenizer
    template_name: str
    layout_removed: bool  # the template only works without its indentation and line breaks
    document_end: str  # ends a plain document: eos_token as the tokenizer came
    tokens_before: int
    splitters: re.Pattern[str]  # the control tokens at which texts may be cut before they are encoded
    tags: re.Pattern[str]  # what the template may look for inside a message
    outlines: Outlines

    @property
    def leaves_lock(self) -> bool:
        """Whether the tokenizer, which lets go of Python's lock, does most of the work: no row has to be rendered."""
        return self.outlines.are_plain

    @property
    def template_sha256(self) -> str:
        return hashlib.sha256(self.chat.template.text.encode()).hexdigest()
