"""Random numbers that belong to a name: the same for the same seed on every machine and in every refresh."""

from hashlib import blake2b

import polars as pl


def draws(names: pl.Series, purpose: str, seed: int) -> pl.Series:
    """A uniform 64-bit number for each name; other purposes and seeds give unrelated numbers."""
    keyed = blake2b(digest_size=8, key=seed.to_bytes(8, "big"), person=purpose.encode())
    numbers = []
    for name in names:
        own = keyed.copy()
        own.update(name.encode())
        numbers.append(int.from_bytes(own.digest(), "big"))
    return pl.Series(names.name, numbers, dtype=pl.UInt64)
