"""95 % intervals of what is measured: the bootstrap for losses, Wilson's for shares."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SHARE = 0.95
Z = 1.959964  # of a normal distribution, 95 % lies within so many standard deviations
FEWEST_ITEMS = 2  # one item says nothing about how much items differ


class Estimate(NamedTuple):
    """A value with the ends of its interval; no ends where there are too few items for one."""

    value: float
    low: float | None
    high: float | None
    n: int


def mean_loss(
    losses: npt.NDArray[np.float64], tokens: npt.NDArray[np.float64], *, resamples: int, seed: int
) -> Estimate:
    """Mean loss per token of items with summed `losses` over `tokens` tokens each; the interval resamples whole items.

    Items stand or fall together, as tokens of one conversation are alike. The percentile bootstrap, seeded.
    Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    value, n = float(losses.sum() / tokens.sum()), len(losses)
    if n < FEWEST_ITEMS:
        return Estimate(value, None, None, n)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = random.integers(n, size=n)
        means[i] = losses[drawn].sum() / tokens[drawn].sum()
    low, high = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    # With very few items the percentiles can miss the value itself.
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def share(count: int, n: int) -> Estimate:
    """`count` of `n` as a share, with Wilson's score interval, which is right near 0 and 1 too.

    Source: E. B. Wilson, "Probable Inference", JASA 22, 1927.
    """
    value = count / n
    centre = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    return Estimate(value, max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value)), n)
