"""Small draws from a numpy generator: cheaper than `Generator.choice`, the generator always explicit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from numpy.random import PCG64, Generator, SeedSequence

T = TypeVar("T")


def generator(seed: int, stream: int = 0) -> Generator:
    """The generator of page `seed` (any int >= 0); `stream` tells independent uses apart."""
    return Generator(PCG64(SeedSequence((seed, stream))))


def chance(rng: Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def pick(rng: Generator, items: Sequence[T]) -> T:
    """One of the items, uniformly."""
    return items[int(rng.integers(len(items)))]


def uniform(rng: Generator, low: float, high: float) -> float:
    """A float of [low, high)."""
    return low + (high - low) * float(rng.random())


def log_uniform(rng: Generator, low: float, high: float, bias: float = 1.0) -> float:
    """A float whose logarithm is uniform on [log low, log high); bias > 1 favours small values."""
    return low * math.exp(math.log(high / low) * float(rng.random()) ** bias)


def integer(rng: Generator, low: int, high: int) -> int:
    """An int of [low, high], both included."""
    return int(rng.integers(low, high + 1))


class Weighted(Generic[T]):
    """Draws items in proportion to their weights."""

    def __init__(self, items: Sequence[tuple[T, float]]) -> None:
        self.items = [item for item, _ in items]
        self._cumulative = list(accumulate(weight for _, weight in items))

    def draw(self, rng: Generator) -> T:
        """One item."""
        at = bisect_right(self._cumulative, float(rng.random()) * self._cumulative[-1])
        return self.items[min(at, len(self.items) - 1)]
