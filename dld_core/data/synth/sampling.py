"""What numpy's Generator lacks or does slowly, for single values; the generator is always an argument."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from numpy.random import Generator

T = TypeVar("T")


def pick(rng: Generator, items: Sequence[T]) -> T:
    """One of the items, uniformly."""
    return items[int(rng.integers(len(items)))]


def integer(rng: Generator, low: int, high: int) -> int:
    """An int of [low, high], both included."""
    return int(rng.integers(low, high + 1))


def log_uniform(rng: Generator, low: float, high: float, bias: float = 1.0) -> float:
    """A float whose logarithm is uniform on [log low, log high); bias > 1 favours small values."""
    return low * math.exp(math.log(high / low) * rng.random() ** bias)


class Weighted(Generic[T]):
    """Samples items in proportion to their weights."""

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self.items = items
        self._cumulative = list(accumulate(weights))

    def sample(self, rng: Generator) -> T:
        """One item."""
        at = bisect_right(self._cumulative, rng.random() * self._cumulative[-1])
        return self.items[min(at, len(self.items) - 1)]
