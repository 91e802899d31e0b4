"""By which files a folder holds a tokenizer. Light: a plan is checked with it before any library is loaded."""

from pathlib import Path

TOKENIZER_JSON = "tokenizer.json"
# Vocabulary and merges of byte-level BPE as OpenAI published GPT-2, and under the names transformers gave them.
GPT2_FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))
FORMS = f"{TOKENIZER_JSON}, or {' and '.join(GPT2_FILES[0])}, or {' and '.join(GPT2_FILES[1])}"


def holds_tokenizer(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in ((TOKENIZER_JSON,), *GPT2_FILES))
