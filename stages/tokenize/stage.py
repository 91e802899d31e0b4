"""What the tokenize stage reads, makes and may be told."""

from pathlib import Path
from typing import Literal

from stages.contract import Params, Stage, setting
from stages.modelling.tokenizer_forms import FORMS, holds_tokenizer


class TokenizeParams(Params):
    """Which tokenizer, which chat template, how long an example may be and which answers count."""

    tokenizer: str | None = setting(
        None,
        "Tokenizer of the base model: a folder with tokenizer.json, with GPT-2's encoder.json and vocab.bpe or with "
        "vocab.json and merges.txt, or a hub id; must be given",
        content=True,
    )
    template: str = setting(
        "tokenizer",
        "Chat template: chatml, chatml-lite, llama-2, llama-3, mistral, gemma, zephyr, alpaca, the path of a .jinja "
        "file, or `tokenizer` for the one the tokenizer brings",
        content=True,
    )
    max_tokens: int = setting(
        2048,
        "Longest example; of a longer conversation the last exchanges are left out, a longer document is split",
        unit="tokens",
        ge=2,
    )
    supervise: Literal["all", "last", "none"] = setting(
        "all",
        "Which answers of a conversation count towards the loss, where the row's `supervised` does not say so itself",
    )

    def settings_needed(self) -> tuple[str, ...]:
        return () if self.tokenizer else ("tokenizer",)

    def misplaced(self) -> tuple[str, ...]:
        folder = Path(self.tokenizer or "").expanduser()
        if not self.tokenizer or not folder.is_dir() or holds_tokenizer(folder):
            return ()  # what is no folder may be a hub id
        return (f"tokenizer: folder {folder} holds no tokenizer; it needs {FORMS}",)


STAGE = Stage(
    name="tokenize",
    purpose="Renders each conversation as it will be served and proves which tokens count, or refuses it with the reason",
    kind="rows",
    inputs=("mixture",),
    outputs=("examples", "refused", "tokenizer"),
    keeps="examples",
    sets_aside="refused",
    params=TokenizeParams,
    image="data",
    costly_rows=True,
    prepares=True,
)
