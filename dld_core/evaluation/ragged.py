"""Rows of unequal length that lie end to end in one array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def starts_of(sizes: Indices) -> Indices:
    """[N] where each row starts, given how long each is."""
    starts: Indices = np.cumsum(sizes) - sizes
    return starts


def spans(starts: Indices, sizes: Indices) -> Indices:
    """[sum of sizes] the indices start, start + 1, ..., start + size - 1 of every row, row after row."""
    indices: Indices = np.arange(int(sizes.sum())) + np.repeat(starts - starts_of(sizes), sizes)
    return indices
