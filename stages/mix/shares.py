"""How often each training row is seen in an epoch, so that sources or tasks have the shares that were asked for.

Shares by size to the power of 1 / temperature with a cap on sizes: Raffel et al. 2020 (T5), 3.5.2.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from stages.errors import ConfigError
from stages.mix.stage import MixParams

Floats = npt.NDArray[np.float64]
BISECTIONS = 200
ROUNDING = 1e-6  # of a row: what floating point loses of a whole one


def sizes_of(rows: pl.DataFrame) -> dict[str, int]:
    """Rows of each `part`."""
    return dict(rows.group_by("part").len().sort("part").rows())


def share_out(rows: pl.DataFrame, requested: Mapping[str, float], params: MixParams) -> pl.DataFrame:
    """row_id and repeats, 0 for a row that is not taken; `rows` has row_id, part and draw.

    A part that gets more rows than it has sees all of them equally often, and those with the lowest draws once more:
    its epochs may be a fraction.
    """
    targets = allocate(sizes_of(rows), requested, params)
    place = pl.int_range(pl.len()).over("part")
    size, target = pl.len().over("part"), pl.col("target")
    wanted = pl.DataFrame(list(targets.items()), schema={"part": pl.String, "target": pl.Int64}, orient="row")
    seen = (
        rows.join(wanted, on="part")
        .sort("draw", "row_id")
        .with_columns(repeats=target // size + (place < target % size).cast(pl.Int64))
    )
    return seen.select("row_id", pl.col("repeats").cast(pl.Int32))


def to_select(sizes: Mapping[str, int], requested: Mapping[str, float], params: MixParams) -> dict[str, int]:
    """Different rows of each part that select_rows chooses: as many as its share, within min_seen and max_seen."""
    return allocate(sizes, requested, params.model_copy(update={"epoch_rows": params.select_rows, "max_repeats": 1}))


def requested_shares(sizes: Mapping[str, int], params: MixParams) -> dict[str, float]:
    """Of the rows of an epoch, by part."""
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


def check_names(sizes: Mapping[str, int], params: MixParams) -> None:
    """Raises ConfigError for parts that are named and not there, or the reverse."""
    for name, named in (("weights", params.weights), ("min_seen", params.min_seen), ("max_seen", params.max_seen)):
        wanted = {part for part, number in named.items() if number or name != "weights"}
        unknown = sorted(wanted - set(sizes))
        missing = sorted(set(sizes) - set(named)) if name == "weights" and named else []
        if unknown or missing:
            wrong = [f"names {', '.join(part or repr(part) for part in unknown)}, of which no training row is"] * bool(
                unknown
            )
            wrong += [f"leaves out {', '.join(repr(part) for part in missing)}"] * bool(missing)
            replayed = "; plain documents have replay_share and no other" * (params.replay_share is not None)
            raise ConfigError(
                f"mix: {name} {' and '.join(wrong)}; by {params.part} the training rows are of "
                f"{', '.join(repr(part) for part in sizes) or 'nothing: there are none'}{replayed}; correct the profile, or "
                f"hold out and cap less where such rows were there"
            )
