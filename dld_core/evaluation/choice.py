"""How choices of scale are judged: beside fixed scales of equal cost, and never on the run that they saw.

Whether a word of a few pixels is read is half luck. An oracle that picks each image's scale from the very run
that it is scored on is fooled by it, so images are read several times, with their borders cut a little.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JITTER = 0.015
"""Most that a run cuts off each border, as a fraction of the side."""


@dataclass(frozen=True, slots=True)
class Reached:
    """End-to-end h-mean and mean relative cost of one way of choosing."""

    hmean: float
    cost: float


def hmean_at(points: Sequence[Reached], cost: float) -> float:
    """The h-mean that a curve reaches at a cost: its upper envelope, linear between points.

    Two settings can be mixed over images, so anything on the line between two points can be had.
    """
    able = [(a, b) for a in points for b in points if a.cost <= cost <= b.cost]
    return max((_between(a, b, cost) for a, b in able), default=float("nan"))


def _between(a: Reached, b: Reached, cost: float) -> float:
    share = 0.0 if a.cost == b.cost else (cost - a.cost) / (b.cost - a.cost)
    return a.hmean + (b.hmean - a.hmean) * share


def border_cuts(name: str, runs: int, height: int, width: int) -> NDArray[np.int64]:
    """[J, 4] pixels cut off top, left, bottom and right, by the image's name; none in the first run."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    most = np.array([height, width, height, width]) * JITTER
    cuts = np.random.default_rng(seed).uniform(0, most, (runs, 4)).astype(np.int64)
    cuts[0] = 0
    return cuts


def without_borders(
    image: NDArray[np.uint8], cut: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """What is left of an image, and where (x, y) its first pixel lay; `cut` is a row of `border_cuts`."""
    top, left, bottom, right = cut.tolist()
    part = image[top : image.shape[0] - bottom, left : image.shape[1] - right]
    return np.ascontiguousarray(part), (left, top)
