"""How often each training row is seen in an epoch, so that sources or tasks have the shares that were asked for.

Shares by size to the power of 1 / temperature with a cap on sizes: Raffel et al. 2020 (T5), 3.5.2.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import ConfigError
from stages.mix.stage import MixParams

Floats = npt.NDArray[np.float64]
BISECTIONS = 200
ROUNDING = 1e-6  # of a row: what floating point loses of a whole one


class Shares(NamedTuple):
    """What was asked for, and what comes of it."""

    seen: pl.DataFrame  # row_id, repeats: 0 for a row that is not taken
    requested: dict[str, float]  # part -> share of the rows of an epoch


def share_out(rows: pl.DataFrame, params: MixParams) -> Shares:
    """How often to see each row; `rows` has row_id, part and draw.

    A part that gets more rows than it has sees all of them equally often, and those with the lowest draws once more:
    its epochs may be a fraction. Raises ConfigError for parts that are named and not there, or the reverse.
    """
    sizes = dict(rows.group_by("part").len().sort("part").rows())
    _check_names(params, sizes)
    requested = _requested(sizes, params)
    targets = allocate(sizes, requested, params)
    place = pl.int_range(pl.len()).over("part")
    size, target = pl.len().over("part"), pl.col("target")
    wanted = pl.DataFrame(list(targets.items()), schema={"part": pl.String, "target": pl.Int64}, orient="row")
    seen = (
        rows.join(wanted, on="part")
        .sort("draw", "row_id")
        .with_columns(repeats=target // size + (place < target % size).cast(pl.Int64))
    )
    return Shares(seen.select("row_id", pl.col("repeats").cast(pl.Int32)), requested)


def _requested(sizes: Mapping[str, int], params: MixParams) -> dict[str, float]:
    raised = {part: size ** (1 / (params.temperature or 1)) for part, size in sizes.items()}
    weights = params.weights or raised
    total = sum(weights[part] for part in sizes)
    return {part: weights[part] / total if total else 0.0 for part in sizes}


def allocate(sizes: Mapping[str, int], requested: Mapping[str, float], params: MixParams) -> dict[str, int]:
    """Rows of an epoch per part, repeats counted.

    Each part has its share of all that are not held by min_seen, max_seen or max_repeats, to the nearest row.
    """
    parts = sorted(sizes)
    if not parts:
        return {}
    most = np.array([min(params.max_seen.get(p, 10**15), sizes[p] * params.max_repeats) for p in parts], np.float64)
    least = np.minimum([params.min_seen.get(p, 0) for p in parts], most).astype(np.float64)
    share = np.array([requested[part] for part in parts])
    there = np.clip([sizes[part] for part in parts], least, most)
    total = params.epoch_rows or _natural_total(int(there.sum()), sizes, share, parts, params)
    wanted = _filled(share, least, most, float(total))
    return dict(zip(parts, _rounded(wanted, round(wanted.sum())), strict=True))


def _natural_total(there: int, sizes: Mapping[str, int], share: Floats, parts: list[str], params: MixParams) -> int:
    """As many rows as there are within min_seen and max_seen, or fewer where a part could not keep its share with max_repeats."""
    possible = [
        int(sizes[part] * params.max_repeats / of + ROUNDING) for part, of in zip(parts, share, strict=True) if of
    ]
    return max(1, min(there, *possible))


def _filled(share: Floats, least: Floats, most: Floats, total: float) -> Floats:
    """The shares of a sum, each within its bounds, that add up to `total` where the bounds allow it."""
    wanted = share > 0
    low, high = 0.0, float((most[wanted] / share[wanted]).max(initial=1.0))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(share * middle, least, most).sum() < total else (low, middle)
    return np.clip(share * high, least, most)


def _rounded(wanted: Floats, total: int) -> list[int]:
    """Whole numbers of that sum: the largest remainders are rounded up."""
    whole = np.floor(wanted + ROUNDING).astype(np.int64)
    missing = max(0, total - int(whole.sum()))
    order = np.lexsort((np.arange(len(wanted)), -np.round(wanted - whole, 6)))
    whole[order[:missing]] += 1
    return [int(count) for count in whole]


def _check_names(params: MixParams, sizes: Mapping[str, int]) -> None:
    for name, named in (("weights", params.weights), ("min_seen", params.min_seen), ("max_seen", params.max_seen)):
        unknown = sorted(set(named) - set(sizes))
        missing = sorted(set(sizes) - set(named)) if name == "weights" and named else []
        if unknown or missing:
            wrong = [f"names {', '.join(unknown)}, of which no training row is"] * bool(unknown)
            wrong += [f"leaves out {', '.join(repr(part) for part in missing)}"] * bool(missing)
            raise ConfigError(
                f"mix: {name} {' and '.join(wrong)}; by {params.part} the training rows are of "
                f"{', '.join(repr(part) for part in sizes) or 'nothing: there are none'}; correct the profile, or hold out and "
                f"cap less where such rows were there"
            )
