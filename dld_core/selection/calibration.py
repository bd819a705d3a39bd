"""Make scores right on average, on images that the selector was not fitted to.

A network that has seen each image a few dozen times knows which scale luck favoured there, most of all the
smallest and the largest; elsewhere it expects too much of both. What it says of an image's differences
between scales is therefore rescaled by one factor and shifted by one constant per scale, by least squares.
Both may change with how many pixels an image has, where the images differ in that: photos near the limit of
what can be read tell less in a thumbnail than large pages do, and neither kind should pay for the other. A
selector that knew nothing would so become the best fixed scale for each price, and lose nothing against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Scores = TypeVar("Scores", Floats, "Tensor")

_RIDGE = 1.0  # as much as one more image says that nothing need be done
_FOLDS = 5
_SPREAD = 0.4  # standard deviation of size_ratios from which on they tell kinds of images apart
SIZE_RATIOS = (0.5, 4.0)
"""Native short sides, as shares of the reference, beyond which nothing changes."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the scores of K scales are corrected. The first of each is for images of size ratio 0; the second
    is added for each unit of it (see `size_ratio`).

    Attributes:
        slope: [2] factor of each score's distance from the image's mean; 0 where it would be below.
        offset: [2, K] words, added.
    """

    slope: Floats
    offset: Floats

    def __call__(self, scores: Floats, size_ratios: Floats) -> Floats:
        """[B, K] of images of those size_ratios [B] -> [B, K]."""
        return rescaled(
            scores, _factors(self.slope, size_ratios), self.offset[0] + self.offset[1] * size_ratios[:, None]
        )

    @classmethod
    def none(cls, scales: int) -> Calibration:
        """One that leaves scores as they are."""
        return cls(np.array([1.0, 0.0]), np.zeros((2, scales)))

    @classmethod
    def fit(cls, scores: Floats, losses: Floats, words: Floats, size_ratios: Floats) -> Calibration:
        """By least squares on the differences between scales.

        Args:
            scores: [B, K] as the network gives them.
            losses: [B, K] words lost.
            words: [B] that each image holds. What is lost scatters by the root of it, so images of many
                words must not outweigh all others.
            size_ratios: [B].
        """
        count, scales = scores.shape
        if not count:
            return cls.none(scales)
        given, wanted = (values - values.mean(1, keepdims=True) for values in (scores, losses))
        weights = 1 / (1 + words)
        # Images that are all alike say nothing of others.
        told = size_ratios if size_ratios.std() >= _SPREAD else np.zeros(count)
        basis = np.stack([np.ones(count), told], 1)
        stretch = (given[:, :, None] * basis[:, None]).reshape(-1, 2)
        shift = (np.eye(scales)[None, :, :, None] * basis[:, None, None]).reshape(count * scales, -1)
        off = (wanted - given).reshape(-1)
        slope = np.array([1.0, 0.0]) + _ridge(np.hstack([stretch, shift]), off, weights)[:2]
        rest = wanted - _factors(slope, told) * given
        return cls(slope, _ridge(basis, rest, weights))


@runtime_checkable
class Calibrated(Protocol):
    """A selector whose scores can be put right."""

    def calibrate(self, found: Calibration | None = None) -> None:
        """Correct what `forward` gives so from now on; None: as the network has it."""


def _factors(slope: Floats, size_ratios: Floats) -> Floats:
    """[B, 1]; scores that would be turned round count for nothing instead."""
    return np.asarray(np.maximum(slope[0] + slope[1] * size_ratios, 0)[:, None], np.float64)


def _ridge(design: Floats, wanted: Floats, weights: Floats) -> Floats:
    """Least squares, weighted by image: the rows of each stand together."""
    rows = np.repeat(weights, len(design) // len(weights))
    weighted = design * rows[:, None]
    square = weighted.T @ design + _RIDGE * weights.mean() * np.eye(design.shape[1])
    found: Floats = np.linalg.solve(square, weighted.T @ wanted)
    return found


def size_ratio(short_side: float | Floats, reference: float) -> Floats:
    """How many pixels an image has: log2 of its short side as a share of the reference, within limits."""
    return np.log2(np.clip(np.asarray(short_side, np.float64) / reference, *SIZE_RATIOS))


def rescaled(scores: Scores, slope: Scores | float, offset: Scores) -> Scores:
    """Scores [B, K], their distances from each image's mean times the slope, plus the offset."""
    middle: Scores = scores.mean(1)[:, None]
    return middle + slope * (scores - middle) + offset


def cross_calibrated(scores: Floats, losses: Floats, words: Floats, size_ratios: Floats) -> Floats:
    """Scores [B, K], those of each image calibrated on the others (see `Calibration.fit`), without luck."""
    found = np.empty_like(scores)
    fold = np.random.default_rng(0).permutation(len(scores)) % _FOLDS
    for number in range(_FOLDS):
        own = fold == number
        known = Calibration.fit(scores[~own], losses[~own], words[~own], size_ratios[~own])
        found[own] = known(scores[own], size_ratios[own])
    return found
