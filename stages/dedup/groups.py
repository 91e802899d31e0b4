"""Joins rows that are linked, directly or through others, into groups."""

import numpy as np

from stages.texts.word_bytes import Ints


def connected(count: int, left: Ints, right: Ints) -> Ints:
    """For each of `count` rows the lowest row of its group, where `left[i]` and `right[i]` are linked."""
    lowest = np.arange(count)
    while True:
        a, b = lowest[left], lowest[right]
        apart = a != b
        if not apart.any():
            return lowest
        left, right = left[apart], right[apart]
        np.minimum.at(lowest, np.maximum(a, b), np.minimum(a, b))
        while (lowest != lowest[lowest]).any():
            lowest = lowest[lowest]
