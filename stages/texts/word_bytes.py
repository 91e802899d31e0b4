"""Words of many texts at once, hashed from their UTF-8 bytes with array code; no Python object per word.

A text in ASCII is split as it is. Any other text is first brought into Unicode NFKC and lower case and its words are
found by regular expression, which is slower and rare in most data; equal words have equal hashes either way.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.texts.conversation_text import normalised, read_where, spaced_words

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Booleans = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

WHITE_SPACE = b"\t\n\v\f\r "
WIDTH = 8  # bytes hashed in one step
LONG_WORD = 64  # bytes; longer ones, such as base64, would need many steps for a few words
# Odd 64-bit factors: 2^64 / golden ratio (Knuth, TAOCP 3, 6.4) and primes 2 to 4 of xxHash64.
FACTORS = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63)))


def _table(*ranges: range) -> Booleans:
    table = np.zeros(256, dtype=np.bool_)
    for chosen in ranges:
        table[chosen.start : chosen.stop] = True
    return table


IN_WORD = _table(range(48, 58), range(65, 91), range(95, 96), range(97, 123), range(128, 256))
IS_SPACE = np.isin(np.arange(256), np.frombuffer(WHITE_SPACE, np.uint8))
IS_SYMBOL = ~IN_WORD & ~IS_SPACE
LOWER = bytes(range(256)).lower()
FIRST_BYTES = np.array([(1 << (8 * kept)) - 1 for kept in range(WIDTH + 1)], dtype=np.uint64)


class TextWords(NamedTuple):
    """The words of consecutive texts, case folded, and what stands between them."""

    hashes: Hashes  # one per word
    counts: Ints  # words per text
    solid_bytes: Ints  # of each text, case folded, without white space
    between: Hashes  # per text; equal for texts whose symbols stand in the same places, 0 = none


def text_words(texts: pl.Series) -> TextWords:
    """Words and symbols of texts without nulls; texts that differ only in case and white space have equal ones."""
    plain, in_other_script = _in_bytes(texts)
    buffer, ends = _buffer(plain)
    starts, stops = _words(buffer)
    counts = np.diff(np.searchsorted(starts, ends), prepend=0)
    between, symbols = _between(buffer, starts, ends)
    read = np.concatenate([[0], np.cumsum(stops - starts)])
    last = np.cumsum(counts)
    solid = read[last] - read[last - counts] + symbols
    other = in_other_script.is_not_null().to_numpy()
    between[other] = in_other_script.drop_nulls().hash().to_numpy()
    solid[other] = in_other_script.drop_nulls().str.replace_all(r"\s", "").str.len_bytes().to_numpy()
    return TextWords(_hashes(buffer, starts, stops), counts, solid, between)


def word_hashes_only(texts: pl.Series) -> tuple[Hashes, Ints]:
    """Hashes and counts of `text_words`; what stands between the words costs a third of the time."""
    buffer, ends = _buffer(_in_bytes(texts)[0])
    starts, stops = _words(buffer)
    return _hashes(buffer, starts, stops), np.diff(np.searchsorted(starts, ends), prepend=0)


def _in_bytes(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Texts whose words can be told by their bytes, and, where that took the symbols away, the normalised text."""
    given = texts.str.len_bytes() == texts.str.len_chars()
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    if given.all():
        return texts, none
    folded = pl.col("folded")
    now = folded.str.len_bytes() == folded.str.len_chars()
    made = (
        texts.filter(~given).to_frame("text").select(folded=normalised(pl.col("text")))
        .select(
            plain=pl.when(now).then(folded).otherwise(spaced_words(read_where(~now, folded))),
            other=pl.when(~now).then(folded),
        )
    )  # fmt: skip
    places = (~given).arg_true()
    return texts.clone().scatter(places, made["plain"]), none.scatter(places, made["other"])


def _buffer(texts: pl.Series) -> tuple[Bytes, Ints]:
    """The bytes of all texts, each ended by a space, in lower case and padded; where each text ends."""
    data, ends = utf8(texts + " ")
    lower = np.zeros(len(data) + WIDTH, dtype=np.uint8)
    lower[: len(data)] = looked_up(data, LOWER)
    return lower, ends


def utf8(texts: pl.Series) -> tuple[Bytes, Ints]:
    """The bytes of all texts, one behind the other, and where each text ends."""
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, ends, data = arrow.buffers()
    size = len(texts) + 1
    offsets = (
        np.frombuffer(ends, dtype=np.int64, count=size + arrow.offset)[arrow.offset :]
        if ends
        else np.zeros(size, np.int64)
    )
    first, last = int(offsets[0]), int(offsets[-1])
    return (np.frombuffer(data, dtype=np.uint8) if data else np.zeros(0, np.uint8))[first:last], offsets[1:] - first


def looked_up(values: Bytes, table: bytes) -> Bytes:
    """`table`[value] for every value, three times as fast as by an index."""
    return np.frombuffer(values.tobytes().translate(table), dtype=np.uint8)


def _words(buffer: Bytes) -> tuple[Ints, Ints]:
    """Where each word starts and stops. A text ends in a space, so no word runs on into the next text."""
    inside = looked_up(buffer, IN_WORD.tobytes())
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([[0], edges])
    return edges[0::2], edges[1::2]


def _hashes(buffer: Bytes, starts: Ints, stops: Ints) -> Hashes:
    """One hash per word, eight bytes at a time."""
    eight = np.ndarray((len(buffer) - WIDTH + 1,), dtype="<u8", buffer=buffer, strides=(1,))
    lengths = stops - starts
    hashes = _folded(eight[starts] & FIRST_BYTES[np.minimum(lengths, WIDTH)], 0)
    longer, at = np.flatnonzero(lengths > WIDTH), WIDTH
    while len(longer) and at < LONG_WORD:
        rest = lengths[longer] - at
        more = eight[starts[longer] + at] & FIRST_BYTES[np.minimum(rest, WIDTH)]
        hashes[longer] = _folded(hashes[longer], 1) + _folded(more, 2)
        longer, at = longer[rest > WIDTH], at + WIDTH
    for word in longer.tolist():
        hashes[word] = _hash_of_bytes(buffer[starts[word] : stops[word]].tobytes())
    return scattered(hashes)


def _hash_of_bytes(word: bytes) -> int:
    from hashlib import blake2b

    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little")


def _folded(values: Hashes, factor: int) -> Hashes:
    return (values ^ (values >> np.uint64(29))) * FACTORS[factor]


def scattered(values: Hashes) -> Hashes:
    """Makes every bit depend on every bit; one to one (the finalizer of MurmurHash3)."""
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(multiplier)
    return values ^ (values >> np.uint64(33))


def _between(buffer: Bytes, starts: Ints, ends: Ints) -> tuple[Hashes, Ints]:
    """Per text, a hash of its symbols, and how many: which, in what order, after how many words, beside white space."""
    at = np.flatnonzero(IS_SYMBOL[buffer[: int(ends[-1])]]) if len(ends) else np.zeros(0, np.int64)
    text = np.searchsorted(ends, at, side="right")
    first_symbol, first_word = np.searchsorted(text, np.arange(len(ends))), np.searchsorted(starts, ends - 1)
    words_before = np.searchsorted(starts, at) - np.concatenate([[0], first_word])[text]
    order = np.arange(len(at)) - first_symbol[text]
    beside = IS_SPACE[buffer[at - 1]] | (at == 0), IS_SPACE[buffer[at + 1]]
    told = buffer[at].astype(np.int64) | (beside[0].astype(np.int64) << 8) | (beside[1].astype(np.int64) << 9)
    values = scattered((told | (order << 10) | (words_before << 37)).astype(np.uint64))
    sums = np.concatenate([[np.uint64(0)], np.cumsum(values)])
    edges = np.append(first_symbol, len(at))
    return np.diff(sums[edges]), np.diff(edges)
