"""Identity of conversations: equal content has an equal id, whatever file, order or spacing it came in."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from stages.texts.conversation_text import WHITE_RUN

DIGEST_BYTES = 16
# Unicode's White_Space, as in texts that are compared: dedup keeps what it knows of them by this identity.
WHITE_CHARS = "".join(char for char in map(chr, range(0x3001)) if char.isspace() and not "\x1c" <= char <= "\x1f")
ASCII_WHITE = r"[\t-\r]"  # but the space
Words = npt.NDArray[np.uint64]  # ids as rows of two 64-bit words


def content_digests(turns: pl.DataFrame, ends: npt.NDArray[np.int64], tools: pl.Series) -> Words:
    """128 bits of SHA-256 over the roles and texts of each conversation, in Unicode NFC, with each run of white space
    one space: four lines for each turn, and one for the tools on offer.

    `turns` are those of all conversations together; conversation n has rows ends[n] to ends[n + 1].
    """
    texts = [_one_line(turns[name]) for name in ("content", "reasoning_content", "tool_calls")]
    lines = [turns["role"], *(pl.lit(text).fill_null("") for text in texts), pl.lit("")]  # each line with its end
    stated, starts = _bytes_of(pl.select(pl.concat_str(lines, separator="\n")).to_series())
    bounds = starts[ends].tolist()
    digests = _digests(stated, bounds, _one_line(tools).to_list() if tools.null_count() < len(tools) else None)
    return np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 4)[:, :2].astype(np.uint64)


def _bytes_of(texts: pl.Series) -> tuple[bytes, npt.NDArray[np.int64]]:
    """All texts one behind the other, and where each of them starts, and the last one ends."""
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())  # as Polars holds them, they are scattered
    _, starts, data = arrow.buffers()
    at = (
        np.frombuffer(starts, dtype=np.int64)[arrow.offset : arrow.offset + len(arrow) + 1]
        if starts
        else np.zeros(1, np.int64)
    )
    return data.to_pybytes() if data else b"", at


def lists_of(values: pl.Series, ends: npt.NDArray[np.int64], name: str) -> pl.Series:
    """Values ends[n] to ends[n + 1] as list n; only Arrow can put lists together without looking at what is in them."""
    # Arrays as Polars holds them, so that nothing is copied; those made by Arrow would import pandas.
    inner = values.to_arrow(compat_level=pl.CompatLevel.newest())
    return pl.Series(
        name, pa.LargeListArray.from_arrays(pl.Series(ends).to_arrow(), inner), dtype=pl.List(values.dtype)
    )


def _one_line(texts: pl.Series) -> pl.Series:
    """Each run of white space as one space, none at the ends. Few texts need more than a look, which is much cheaper."""
    if texts.null_count() == len(texts):
        return texts
    text = pl.col("stripped")
    may_differ = (
        text.str.contains(ASCII_WHITE)
        | text.str.contains("  ", literal=True)
        | (text.str.len_bytes() != text.str.len_chars())
    )
    looked = texts.to_frame().lazy().select(stripped=pl.first().str.strip_chars(WHITE_CHARS))
    stripped, differs = looked.with_columns(differs=may_differ.fill_null(value=False)).collect()
    at = differs.arg_true()
    return stripped.scatter(at, stripped.gather(at).str.replace_all(WHITE_RUN, " ")) if len(at) else stripped


def _digests(stated: bytes, bounds: Sequence[int], tools: Sequence[str | None] | None) -> list[bytes]:
    """Of what is stated from each bound to the next, without its last line end, and with the tools behind it."""
    texts = (stated[start : end - 1] for start, end in pairwise(bounds))  # a list would be out of the cache by then
    if tools is not None:
        texts = (text if one is None else text + b"\n" + one.encode() for text, one in zip(texts, tools, strict=True))
    if tools is not None or not stated.isascii():
        texts = (text if text.isascii() else _composed(text) for text in texts)
    sha256 = hashlib.sha256
    return [sha256(text).digest() for text in texts]


def _composed(text: bytes) -> bytes:
    return unicodedata.normalize("NFC", text.decode()).encode()


def row_masks(source: str, occurrences: Iterable[int]) -> Words:
    """What makes row ids of content ids. Equal conversations of one source differ by their number alone, from 0.

    Row id = content id XOR 128 bits of SHA-256 over source and number: for a number of its own each row has a mask of
    its own, so two row ids are as unlikely to be equal as two content ids.
    """
    made = (hashlib.sha256(f"{source}\0{occurrence}".encode()).digest()[:DIGEST_BYTES] for occurrence in occurrences)
    return np.frombuffer(b"".join(made), dtype=">u8").reshape(-1, 2).astype(np.uint64)


def hex_ids(words: npt.NDArray[np.uint64], name: str) -> pl.Series:
    """Ids as texts of 16 hex digits for each of their words."""
    digits = words.astype(">u8").tobytes().hex().encode()
    ends = np.arange(len(words) + 1, dtype=np.int64) * (len(digits) // max(1, len(words)))
    texts = pa.LargeStringArray.from_buffers(len(words), pa.py_buffer(ends.tobytes()), pa.py_buffer(digits))
    return pl.Series(name, texts, dtype=pl.String)


def words_of(table: pl.DataFrame, names: Sequence[str]) -> Words:
    """Two unsigned columns as ids."""
    return np.column_stack([table[name].to_numpy() for name in names]).reshape(-1, 2)
