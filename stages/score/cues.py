"""Which texts a costly pattern has to read: those with one of its cue words.

Every match of a pattern has a cue in it: a word, or two words in a row. The words of all texts are hashed anyway, so
looking cues up costs less than one pass of one pattern. Two words may share a place in the table: a text then is read
for nothing. Texts with letters or digits beyond ASCII may spell a word in many ways and are always read.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.texts.conversation_text import read_where
from stages.texts.word_runs import Runs, run_hashes, starts_of, word_hashes

PLACE_BITS = 16
PLACE_SHIFT = np.uint64(64 - PLACE_BITS)
ALL = np.uint32(0xFFFFFFFF)
OTHER_LETTER = r"[\w--\x00-\x7f]"
CUES: dict[str, dict[str, list[str]]] = {  # column of the texts -> pattern -> its cues
    "answers": {
        "refusal": [
            "ai", "artificial", "language model", "chatbot", "trained by", "created by", "developed by", "made by",
            "my knowledge", "my training", "not have", "t have", "cannot", "can t", "can not", "could not", "won t", "unable",
            "not able", "sorry", "afraid", "apologize", "apologise", "apologies", "will not", "must decline", "must refuse",
            "must respectfully", "refuse to", "no output", "t feel", "not comfortable", "to decline", "chatgpt",
            "my capabilities", "my capability", "my abilities", "my ability", "my scope", "against our", "violates our", "violate our", "not feel", "programmed to", "my content", "our content", "my usage",
            "our usage", "my safety", "our safety", "my policy", "our policy", "my policies", "our policies", "openai s",
            "rather not", "prefer not", "not something", "must politely", "t think", "not think",
            "my guidelines", "our guidelines", "my programming", "our programming", "for me",
            "not going", "not allowed", "not permitted", "not authorized", "not qualified", "not capable", "not designed",
            "good conscience", "request denied", "i refuse", "i decline", "respectfully decline", "politely decline", "politely refuse",
            "against my", "my values", "my ethical", "my area", "my expertise", "beyond what", "outside what", "in such", "learning model",
            "computer program", "a machine", "digital assistant", "virtual assistant", "i shouldn", "i should",
        ],
        "cutoff": [
            "of my", "until my", "since my", "to my", "before my", "on my", "my information", "my knowledge", "my training", "not have", "t have",
            "not include", "t include", "knowledge cut", "knowledge cutoff", "last training",
        ],
        "unhelpful": [
            "google it", "up yourself", "it out", "your own", "stupid", "idiotic", "idiot", "moron", "dumb", "pathetic",
            "worthless", "shut up", "not my", "care about", "care what", "wasting my", "stop asking", "should i", "would i",
            "be bothered", "not going", "kill yourself", "hope you",
        ],
        "foreign_refusal": [
            "modelo", "modello", "als", "jako", "lo siento", "tut mir", "dispiace", "no puedo", "non posso", "ich kann", "ik kan",
            "przykro", "beklager", "undskyld", "maaf", "spijt", "lamento", "desculpa", "sinto muito", "ich darf", "una ia", "un ia", "um ia", "uma ia", "une ia", "una inteligencia", "assistant ia", "qu ia", "qu intelligence", "une intelligence",
            "je ne", "lo lamento", "kann ich", "ich bin", "soy un", "soy una", "sou um", "sou uma", "je suis", "como asistente", "como assistente", "como inteligencia", "ca model", "com a",
            "come ia", "in quanto", "sono un", "ik ben", "spijt me", "niestety", "jestem", "sebagai", "saya adalah", "saya tidak", "jag", "som en", "som et", "jeg",
            "bir yapay", "bir dil", "ho sento", "no puc", "valitettavasti", "nem tudok", "en tant",
        ],
        "result": ["answer", "result", "boxed"],
        "role_label": ["human", "user", "assistant"],
        "markup": ["instruction"],
        "merged": [
            *(f"{label}{number}" for label in ("instruction", "task", "prompt") for number in ("", *range(1, 21))), "below is", "the request",
            "that appropriately",
        ],
        "merged_question": ["q", "question", *(f"q{number}" for number in range(1, 10))],
    },
    "prompt": {
        "code": [
            "python", "java", "javascript", "typescript", "c", "sql", "html", "css", "php", "ruby", "rust", "bash", "shell",
            "regex", "regular", "jquery", "react", "matlab", "golang", "pandas", "swift", "kotlin", "code", "source", "function",
            "query", "database", "unit", "program", "script",
        ],
        "json": ["json"],
        "table": ["table", "tabular"],
        "list": ["bullet", "bulleted", "bulletpoint", "bulletpoints", "numbered"],
        "one_word": ["word"],
        "verdict": ["yes", "true"],
        "number": ["number", "numeral", "integer"],
        "word_limit": ["words", "word"],
        "items": ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", *map(str, range(2, 21))],
        "pointed_at": ["following", "below", "above", "given", "provided"],
        "missing_text": [
            "attached", "this", "according", "based", "stated", "given", "provided", "above", "below", "here",
            "text", "article", "passage", "paragraph", "sentence", "essay", "email", "excerpt", "code",
        ],
        "following": [
            "siguiente", "siguientes", "suivant", "suivante", "suivants", "suivantes", "ci", "folgenden", "folgende", "folgender", "folgendes",
            "untenstehenden", "unten", "seguente", "seguenti", "seguir", "abaixo", "seguinte", "volgende", "onderstaande", "berikut", "di bawah",
            "bawah",
        ],
        "missing_file": [
            "attached", "uploaded", "enclosed",
            "accompanying", "attachment", "attachments", "beiliegende", "beiliegenden", "adjunto", "adjunta", "joint", "jointe",
            "allegato", "allegata", "anexo", "anexa",
        ],
        "missing_image": [
            *(f"{shown}{plural}" for plural in ("", "s") for shown in (
                "image", "picture", "photo", "photograph", "screenshot", "diagram", "figure", "drawing", "painting",
                "illustration", "chart", "graph", "video", "audio",
            )),
            "bild", "foto", "imagen", "immagine", "imagem",
        ],
    },
}  # fmt: skip


def cue_columns(texts: pl.DataFrame, asked: Runs, said: Runs, said_pairs: Runs) -> dict[str, pl.Series]:
    """Bits of the cues that each prompt and each answer has, by their words and the answers' runs of two words."""
    return {
        "prompt_cues": _found("prompt", texts, [asked]),
        "answers_cues": _found("answers", texts, [said, said_pairs]),
    }


def read_by(pattern: str, column: str) -> pl.Expr:
    """The texts of a column that the pattern of this name may match; empty for all others."""
    bit = 1 << list(CUES[column]).index(pattern)
    return read_where(pl.col(f"{column}_cues") & pl.lit(bit, pl.UInt32) != 0, pl.col(column))


def _found(column: str, texts: pl.DataFrame, runs: Sequence[Runs]) -> pl.Series:
    """`runs` are the words of the texts, then the runs of two words."""
    other = read_where(pl.col(column).str.len_bytes() != pl.col(column).str.len_chars(), pl.col(column))
    found = np.where(texts.select(other.str.contains(OTHER_LETTER)).to_series().to_numpy(), ALL, np.uint32(0))
    for length, hashed in enumerate(runs, start=1):
        filled = np.flatnonzero(hashed.counts)
        if len(filled):
            bits = _table(column, length)[hashed.hashes >> PLACE_SHIFT]
            found[filled] |= np.bitwise_or.reduceat(bits, starts_of(hashed.counts)[filled])
    return pl.Series(found)


@cache
def _table(column: str, length: int) -> npt.NDArray[np.uint32]:
    """Upper bits of the hash of `length` words in a row -> bits of the patterns that have such a cue."""
    table = np.zeros(1 << PLACE_BITS, dtype=np.uint32)
    for bit, cues in enumerate(CUES[column].values()):
        chosen = [cue for cue in cues if cue.count(" ") == length - 1]
        words = word_hashes(pl.Series(chosen, dtype=pl.String))
        hashes = words.hashes if length == 1 else run_hashes(words, length).hashes
        table[hashes >> PLACE_SHIFT] |= np.uint32(1 << bit)
    return table
