"""Make scores right on average, on images that the selector was not fitted to.

A network that has seen each image a few dozen times knows which scale luck favoured there, most of all the
smallest and the largest; elsewhere it expects too much of both. What it says of an image's differences
between scales is therefore stretched by one factor and shifted by one constant per scale, by least squares.
A selector that knew nothing would so become the best fixed scale for each price, and lose nothing against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]

Scores = TypeVar("Scores", Floats, "Tensor")

_RIDGE = 1.0  # as much as one more image says that nothing need be done
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is done to scores of K scales.

    Attributes:
        slope: factor of each score's distance from the image's mean, >= 0.
        offset: [K] words, added.
    """

    slope: float
    offset: Floats

    def __call__(self, scores: Floats) -> Floats:
        """[B, K] -> [B, K]."""
        return stretched(scores, self.slope, self.offset)

    @classmethod
    def fit(cls, scores: Floats, losses: Floats, words: Floats) -> Calibration:
        """By least squares on the differences between scales.

        Args:
            scores: [B, K] as the network gives them.
            losses: [B, K] words lost.
            words: [B] that each image holds. What is lost scatters by the root of it, so images of many
                words must not outweigh all others.
        """
        count, scales = scores.shape
        if not count:
            return cls(1.0, np.zeros(scales))
        given, wanted = (values - values.mean(1, keepdims=True) for values in (scores, losses))
        design = np.concatenate([given.reshape(-1, 1), np.tile(np.eye(scales), (count, 1))], 1)
        weights = 1 / (1 + words)
        weighted = design * np.repeat(weights, scales)[:, None]
        square = weighted.T @ design + _RIDGE * weights.mean() * np.eye(scales + 1)
        off = (wanted - given).reshape(-1)
        slope = max(1 + float(np.linalg.solve(square, weighted.T @ off)[0]), 0.0)
        rest = (weights[:, None] * (wanted - slope * given)).sum(0)
        return cls(slope, rest / (weights.sum() + _RIDGE * weights.mean()))


def stretched(scores: Scores, slope: Scores | float, offset: Scores) -> Scores:
    """Scores [B, K], their distances from each image's mean times the slope, plus the offset [K]."""
    middle: Scores = scores.mean(1)[:, None]
    return middle + slope * (scores - middle) + offset


def cross_calibrated(scores: Floats, losses: Floats, words: Floats) -> Floats:
    """Scores [B, K], those of each image calibrated on the others (see `Calibration.fit`), without luck."""
    found = np.empty_like(scores)
    fold = np.random.default_rng(0).permutation(len(scores)) % _FOLDS
    for number in range(_FOLDS):
        own = fold == number
        found[own] = Calibration.fit(scores[~own], losses[~own], words[~own])(scores[own])
    return found
